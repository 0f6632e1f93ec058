"""Sampling of masks in the middle of blocks."""

import pytest
import torch

from solo_d2.methods.condinst.targets import sample_masks


@pytest.mark.parametrize("stride", [2, 4, 8])
@pytest.mark.parametrize("size", [(16, 24), (13, 19), (1, 24)])
def test_sampled_masks_are_the_middle_pixels(stride, size):
    masks = torch.rand(3, *size) < 0.5
    target = (24 // stride, 24 // stride)
    padded = torch.zeros(3, 24, 24, dtype=torch.bool)
    padded[:, : size[0], : size[1]] = masks
    expected = padded[:, stride // 2 :: stride, stride // 2 :: stride]
    assert torch.equal(sample_masks(masks, stride, target), expected)
    assert sample_masks(masks[:0], stride, target).shape == (0, *target)
