"""Unified mask feature: size, and which level is told its coordinates."""

import pytest
import torch

from solo_d2.modeling.heads import MaskFeatureHead


@pytest.mark.parametrize("size", [(32, 32), (64, 96)])
def test_output_has_the_finest_size(size):
    head = MaskFeatureHead(in_channels=8, channels=32, out_channels=64)
    levels = [torch.randn(2, 8, size[0] >> i, size[1] >> i) for i in range(4)]
    assert head(levels).shape == (2, 64, *size)


def test_only_the_deepest_level_has_coordinates():
    head = MaskFeatureHead(in_channels=8, channels=32, out_channels=64)
    inputs = [branch.convs[0].weight.shape[1] for branch in head.branches]
    assert inputs == [8, 8, 8, 10]
    assert [len(branch.convs) for branch in head.branches] == [1, 1, 2, 3]
