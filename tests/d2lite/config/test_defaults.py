"""Default values: those of Detectron2."""

import pytest
import yaml

from detectron2.config import CfgNode, get_cfg


def leaves(tree, prefix=""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def plain(value):
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def test_golden_defaults(golden):
    text = (golden("detectron2").folder / "config_defaults.yaml").read_text()
    expected = dict(leaves(yaml.safe_load(text)))
    found = dict(leaves(get_cfg()))
    assert len(found) > 80
    assert {key: plain(value) for key, value in found.items()} == {key: expected[key] for key in found}


@pytest.mark.parametrize(
    "path, kind",
    [
        ("INPUT.MIN_SIZE_TRAIN", tuple),
        ("DATASETS.TRAIN", tuple),
        ("SOLVER.STEPS", tuple),
        ("MODEL.FPN.IN_FEATURES", list),
        ("SOLVER.WARMUP_FACTOR", float),
        ("MODEL", CfgNode),
    ],
)
def test_types_decide_what_may_be_merged(path, kind):
    value = get_cfg()
    for key in path.split("."):
        value = value[key]
    assert type(value) is kind
