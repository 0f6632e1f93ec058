"""Decoupled SOLO's head: towers and outputs of the full and the light form."""

import pytest
import torch

from solo_d2.config import get_cfg
from solo_d2.methods.solo.head import DecoupledSOLOHead
from solo_d2.utils.settings import build

GRIDS = [6, 5, 4, 3, 2]


def make_head(**settings):
    settings = {"in_channels": 16, "instance_channels": 32, "num_instance_convs": 2} | settings
    return build(DecoupledSOLOHead, get_cfg(), "MODEL.SOLO", num_grids=GRIDS, num_classes=3, **settings)


def features(height=64, width=96):
    return [torch.randn(2, 16, height >> i, width >> i) for i in range(5)]


@pytest.mark.parametrize("light", [False, True])
def test_one_channel_per_column_and_row(light):
    categories, masks = make_head(light=light)(features())
    sizes = [(64, 96), (64, 96), (32, 48), (16, 24), (16, 24)]
    for (x, y), category, grid, size in zip(masks, categories, GRIDS, sizes, strict=True):
        assert x.shape == y.shape == (2, grid, *size)
        assert category.shape == (2, 3, grid, grid)
        assert abs(x.sigmoid().mean() - 0.01) < 1e-3


def test_each_axis_sees_its_own_coordinate():
    head = make_head()
    assert (head.mask_tower_x.axes, head.mask_tower_y.axes) == ("x", "y")
    assert head.mask_tower_x[0].weight.shape[1] == head.mask_tower_y[0].weight.shape[1] == 17


def test_light_has_one_tower_that_sees_both():
    head = make_head(light=True, num_dcn_convs=1)
    assert head.mask_tower.axes == "xy" and head.mask_tower[0].weight.shape[1] == 18
    assert not hasattr(head, "mask_tower_x")
    assert type(head.mask_tower[1]).__name__ == "DeformConvBlock"
