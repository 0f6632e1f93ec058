"""SOLO's head: shapes, coordinates, and chosen channels without the others."""

import pytest
import torch

from solo_d2.config import get_cfg
from solo_d2.methods.solo.head import SOLOHead
from solo_d2.utils.settings import build

GRIDS = [6, 5, 4, 3, 2]


def make_head(**settings):
    settings = {"in_channels": 16, "instance_channels": 32, "num_instance_convs": 2} | settings
    return build(SOLOHead, get_cfg(), "MODEL.SOLO", num_grids=GRIDS, num_classes=3, **settings)


def features(height=64, width=96):
    return [torch.randn(2, 16, height >> i, width >> i) for i in range(5)]


def test_masks_have_twice_the_levels_resolution():
    head = make_head()
    _, masks = head(features())
    logits = [head.mask_logits(x, level) for level, x in enumerate(masks)]
    sizes = [(32, 48), (32, 48), (16, 24), (8, 12), (8, 12)]
    expected = [(2, s * s, 2 * h, 2 * w) for s, (h, w) in zip(GRIDS, sizes, strict=True)]
    assert [tuple(x.shape) for x in logits] == expected
    assert all(abs(x.sigmoid().mean() - 0.01) < 1e-3 for x in logits)


@pytest.mark.parametrize("images, cells", [([], []), ([1], [8]), ([0, 0, 1], [8, 0, 3])])
def test_chosen_channels_are_the_same(images, cells):
    head = make_head()
    _, masks = head(features())
    images, cells = torch.tensor(images, dtype=torch.int64), torch.tensor(cells, dtype=torch.int64)
    expected = head.mask_logits(masks[3], 3)[images, cells]
    chosen = head.cell_mask_logits(masks[3], 3, images, cells)
    torch.testing.assert_close(chosen, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("num_coord_convs", [0, 1, 2])
def test_coordinates_only_reach_the_mask_tower(num_coord_convs):
    head = make_head(num_coord_convs=num_coord_convs)
    extra = [conv.weight.shape[1] - n for conv, n in zip(head.mask_tower, [16, 32], strict=True)]
    assert extra == [2] * num_coord_convs + [0] * (2 - num_coord_convs)
    assert head.category_tower[0].weight.shape[1] == 16


@pytest.mark.parametrize("depth", [4, 8])
def test_depth(depth):
    head = make_head(num_instance_convs=depth)
    assert len(head.mask_tower) == len(head.category_tower) == depth
