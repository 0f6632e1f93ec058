"""Downsampling of masks against a loop over pixels and the recorded public behavior."""

import pytest
import torch

from solo_d2.methods.grid.targets import downsample_masks


def random_masks(n, h, w, seed=0, density=0.5):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, h, w, generator=generator) < density


@pytest.mark.parametrize("stride", [2, 4, 8, 16])
def test_downsampling_counts_the_central_pixels(stride):
    h, w, size = 45, 61, (-(-45 // stride) + 1, -(-61 // stride) + 2)
    masks = random_masks(3, h, w)
    result = downsample_masks(masks, stride, size)
    padded = torch.zeros(3, size[0] * stride, size[1] * stride, dtype=torch.int64)
    padded[:, :h, :w] = masks
    for row in range(size[0]):
        for column in range(size[1]):
            y, x = row * stride + stride // 2, column * stride + stride // 2
            assert torch.equal(
                result[:, row, column], padded[:, y - 1 : y + 1, x - 1 : x + 1].sum((1, 2)) >= 2
            )


@pytest.mark.parametrize("size", ["128x192", "112x168", "101x77", "750x1333"])
def test_golden_downsampling(golden, size):
    data = golden("utils").load("utils")
    masks = data[f"mask_{size}"]
    for stride in (2, 4, 8, 16):
        if masks.shape[1] % stride == 0 and masks.shape[2] % stride == 0:
            expected = data[f"imrescale_{size}_s{stride}"]
            assert torch.equal(downsample_masks(masks, stride, expected.shape[1:]), expected)
