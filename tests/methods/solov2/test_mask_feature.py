"""Unified mask feature: size, and the fused sum it is made of."""

import pytest
import torch

from solo_d2.methods.solov2.head import MaskFeatureHead, SeparateMaskFeatures


@pytest.mark.parametrize("size", [(32, 32), (64, 96)])
def test_output_has_the_finest_size(size):
    head = MaskFeatureHead(in_channels=8, channels=32, out_channels=64)
    levels = [torch.randn(2, 8, size[0] >> i, size[1] >> i) for i in range(4)]
    feature = head(levels)
    assert feature.shape == (2, 64, *size)
    torch.testing.assert_close(feature, head.predictor(head.fuse(levels)))


def test_without_coordinates_and_with_deformable_convolutions():
    head = MaskFeatureHead(in_channels=8, channels=32, out_channels=64, coordinates=False, dcn_type="DCNv2")
    assert [branch.convs[0].conv.in_channels for branch in head.branches] == [8] * 4
    assert type(head.predictor).__name__ == "DeformConvBlock"
    assert head([torch.randn(1, 8, 32 >> i, 32 >> i) for i in range(4)]).shape == (1, 64, 32, 32)


@pytest.mark.parametrize("coordinates", [False, True])
def test_separate_features_have_twice_their_levels_resolution(coordinates):
    head = SeparateMaskFeatures(
        in_channels=8, channels=32, num_convs=2, out_channels=64, coordinates=coordinates
    )
    outputs = head([torch.randn(2, 8, 32 >> i, 48 >> i) for i in range(4)])
    assert [tuple(x.shape) for x in outputs] == [(2, 64, 32 // s, 48 // s) for s in (1, 1, 2, 2)]
    assert head.tower[0].weight.shape[1] == 8 + 2 * coordinates
