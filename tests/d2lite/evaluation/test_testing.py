import logging
import math

import pytest

from detectron2.config import get_cfg
from detectron2.evaluation import print_csv_format, verify_results
from detectron2.evaluation.testing import flatten_results_dict

RESULTS = {"segm": {"AP": 31.25, "AP50": 50.0, "AP-cat": 1.0}, "bbox": {"AP": math.nan}}


def test_csv_lines(caplog):
    with caplog.at_level(logging.INFO):
        print_csv_format(RESULTS)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "copypaste: Task: segm",
        "copypaste: AP,AP50",
        "copypaste: 31.2500,50.0000",
        "copypaste: Task: bbox",
        "copypaste: AP",
        "copypaste: nan",
    ]


@pytest.mark.parametrize(
    ("expected", "fine"),
    [
        ([], True),
        ([["segm", "AP", 31.0, 0.3]], True),
        ([["segm", "AP", 31.0, 0.2]], False),
        ([["segm", "AP75", 31.0, 0.2]], False),
        ([["bbox", "AP", 31.0, 100.0]], False),
        ([["segm", "AP", 0.0, 0.1], ["segm", "AP50", 50.0, 0.1]], False),
    ],
)
def test_verify_results(expected, fine):
    cfg = get_cfg()
    cfg.TEST.EXPECTED_RESULTS = expected
    if fine:
        assert verify_results(cfg, RESULTS)
    else:
        with pytest.raises(SystemExit) as error:
            verify_results(cfg, RESULTS)
        assert error.value.code == 1


def test_flatten():
    assert flatten_results_dict({"a": {"b": 1, "c": {"d": 2}}, "e": 3}) == {"a/b": 1, "a/c/d": 2, "e": 3}
