"""Unified mask feature: size, and the fused sum it is made of."""

import pytest
import torch

from solo_d2.config import get_cfg
from solo_d2.methods.solov2.head import MaskFeatureHead, SeparateMaskFeatures
from solo_d2.utils.settings import build

SETTINGS = {"in_channels": 8, "mask_channels": 32, "num_masks": 64}


def make_head(**settings):
    return build(MaskFeatureHead, get_cfg(), "MODEL.SOLOV2", num_levels=4, **SETTINGS, **settings)


@pytest.mark.parametrize("size", [(32, 32), (64, 96)])
def test_output_has_the_finest_size(size):
    head = make_head()
    levels = [torch.randn(2, 8, size[0] >> i, size[1] >> i) for i in range(4)]
    feature = head(levels)
    assert feature.shape == (2, 64, *size)
    torch.testing.assert_close(feature, head.predictor(head.fuse(levels)))


def test_without_coordinates_and_with_deformable_convolutions():
    head = make_head(mask_coordinates=False, use_dcn_in_mask=True, type_dcn="DCNv2")
    assert [branch.convs[0].conv.in_channels for branch in head.branches] == [8] * 4
    assert type(head.predictor).__name__ == "DeformConvBlock"
    assert head([torch.randn(1, 8, 32 >> i, 32 >> i) for i in range(4)]).shape == (1, 64, 32, 32)


@pytest.mark.parametrize("coordinates", [False, True])
def test_separate_features_have_twice_their_levels_resolution(coordinates):
    settings = SETTINGS | {"num_mask_convs": 2, "mask_coordinates": coordinates}
    head = build(SeparateMaskFeatures, get_cfg(), "MODEL.SOLOV2", **settings)
    outputs = head([torch.randn(2, 8, 32 >> i, 48 >> i) for i in range(4)])
    assert [tuple(x.shape) for x in outputs] == [(2, 64, 32 // s, 48 // s) for s in (1, 1, 2, 2)]
    assert head.tower[0].weight.shape[1] == 8 + 2 * coordinates
