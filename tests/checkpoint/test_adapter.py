"""An adapter made up for the test: plain and deformable blocks, entries of no use, sizes."""

from dataclasses import replace

import pytest
import torch

from solo_d2.checkpoint import Adapter
from solo_d2.checkpoint.openmmlab import TEST_SIZES
from solo_d2.checkpoint.preprocessing import TORCHVISION

ADAPTER = Adapter(
    name="made-up",
    title="made up",
    marks=("cls.",),
    rules=(
        ("cls.{k}.conv", "head.category_tower.{k}"),
        ("cls.{k}.gn", "head.category_tower.{k}.norm"),
    ),
    deformable_rules=(
        ("cls.{k}.conv.conv_offset", "head.category_tower.{k}.offset"),
        ("cls.{k}.conv", "head.category_tower.{k}.conv"),
        ("cls.{k}.gn", "head.category_tower.{k}.conv.norm"),
    ),
    expendable=((r"^counter$", "a counter"),),
    preprocessing=TORCHVISION,
    test_sizes=TEST_SIZES,
)
FOREIGN = {
    "cls.0.conv.weight": 0,
    "cls.0.gn.bias": 1,
    "cls.1.conv.weight": 2,
    "cls.1.conv.conv_offset.weight": 3,
    "cls.1.gn.bias": 4,
    "cls.10.conv.weight": 5,
    "other": 6,
}
NATIVE = {
    "head.category_tower.0.weight": 0,
    "head.category_tower.0.norm.bias": 1,
    "head.category_tower.1.conv.weight": 2,
    "head.category_tower.1.offset.weight": 3,
    "head.category_tower.1.conv.norm.bias": 4,
    "head.category_tower.10.weight": 5,
    "other": 6,
}


def test_both_directions():
    assert ADAPTER.to_native(FOREIGN) == NATIVE
    assert ADAPTER.from_native(NATIVE) == FOREIGN
    assert ADAPTER.without_name(NATIVE) == ADAPTER.unknown(FOREIGN) == ["other"]


def test_recognition_and_expendable_entries():
    assert ADAPTER.recognizes(FOREIGN) and not ADAPTER.recognizes(["closs.weight"])
    assert ADAPTER.why_expendable("counter") == "a counter"
    assert ADAPTER.why_expendable("cls.0.conv.weight") is None


@pytest.mark.parametrize(
    ("depth", "width", "size"),
    [
        (7, 256, (800, 1333)),
        (4, 512, (800, 1333)),
        (3, 256, (512, 852)),
        (2, 256, (448, 768)),
        (5, 64, (None, None)),
    ],
)
def test_published_test_size(depth, width, size):
    weights = {f"head.category_tower.{k}.weight": torch.zeros(width, 1) for k in range(depth - 1)}
    weights[f"head.category_tower.{depth - 1}.conv.weight"] = torch.zeros(width, 1)
    weights["head.category_tower.0.norm.weight"] = torch.zeros(width)
    found = ADAPTER.with_test_size(weights)
    assert (found.short_side, found.long_side) == size
    assert found.channels == "RGB"
    assert replace(ADAPTER, test_sizes=None).with_test_size(weights) == TORCHVISION
