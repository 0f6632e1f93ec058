import numpy as np
import yaml

from solo_d2.config import get_cfg
from solo_d2.data.analysis.recommendation import recommend
from solo_d2.data.analysis.report import format_report, yaml_snippet
from solo_d2.data.analysis.statistics import InstanceTable


def _table():
    images = np.array([0, 0, 2])
    centers = np.array([(10.0, 10.0), (11.0, 11.0), (90.0, 90.0)])
    return InstanceTable(images, np.array([10.0, 20.0, 60.0]), centers, np.full((3, 2), 256.0), 4)


def test_snippet_is_valid_configuration(tmp_path):
    advice = recommend(_table(), [40, 36, 24], 2048)
    path = tmp_path / "recommended.yaml"
    path.write_text(yaml_snippet(advice))
    cfg = get_cfg()
    cfg.merge_from_file(str(path))
    assert cfg.MODEL.SOLOV2.NUM_GRIDS == list(advice.grids)
    assert cfg.MODEL.CONDINST.SIZES_OF_INTEREST == list(advice.sizes_of_interest)
    assert cfg.MODEL.SOLOV2.FPN_SCALE_RANGES == [list(pair) for pair in advice.ranges]
    assert tuple(cfg.INPUT.MIN_SIZE_TRAIN) == advice.min_sizes_train
    assert cfg.INPUT.MIN_SIZE_TEST == advice.min_size_test


def test_report_counts():
    default = get_cfg().MODEL.SOLOV2
    advice = recommend(_table(), default.NUM_GRIDS, 2048, min_size=256)
    text = format_report(_table(), advice, default.NUM_GRIDS, default.FPN_SCALE_RANGES)
    assert "3 images (median 256 x 256), 1 without instances" in text
    assert "3 instances and 4 crowds" in text
    assert "2 (100.0%)" not in text.splitlines()[0]
    assert yaml.safe_load(text[text.index("MODEL:") :]) == yaml.safe_load(yaml_snippet(advice))
    assert "66.7% of all instances have no cell of their own" in text
