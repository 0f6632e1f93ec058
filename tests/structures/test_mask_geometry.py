"""Mass centers and downsampling against loops over pixels and the recorded public behavior."""

import numpy as np
import pytest
import torch

from solo_d2.structures import downsample_masks, mass_centers, sample_masks
from solo_d2.structures.masks import count_rows_and_columns


def random_masks(n, h, w, seed=0, density=0.5):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, h, w, generator=generator) < density


@pytest.mark.parametrize("size", [(1, 1), (7, 13), (64, 96), (300, 8), (3, 2100), (261, 2048)])
def test_counts_equal_plain_sums(size):
    masks = random_masks(3, *size)
    rows, columns = count_rows_and_columns(masks)
    assert torch.equal(rows, masks.sum(2))
    assert torch.equal(columns, masks.sum(1))


def test_counts_of_a_full_mask_do_not_overflow():
    masks = torch.ones(1, 600, 2400, dtype=torch.bool)
    rows, columns = count_rows_and_columns(masks)
    assert rows.eq(2400).all() and columns.eq(600).all()


@pytest.mark.parametrize(
    "masks",
    [
        torch.zeros(0, 5, 8, dtype=torch.bool),
        torch.from_numpy(np.zeros((0, 112, 168), dtype=bool)),
        random_masks(4, 16, 40)[::2, :, 8:32],
        random_masks(4, 16, 40).transpose(1, 2),
        random_masks(1, 9, 81).flatten()[1:721].view(1, 9, 80),
    ],
    ids=["no masks", "no masks from numpy", "strided", "transposed", "odd storage offset"],
)
def test_counts_of_unusual_layouts(masks):
    rows, columns = count_rows_and_columns(masks)
    assert torch.equal(rows, masks.sum(2))
    assert torch.equal(columns, masks.sum(1))


def test_mass_center_is_the_mean_pixel_index():
    masks = random_masks(5, 37, 53, density=0.2)
    masks[2] = False
    centers, areas = mass_centers(masks)
    for mask, center, area in zip(masks, centers, areas, strict=True):
        y, x = mask.nonzero(as_tuple=True)
        assert area == len(x)
        expected = [x.double().mean(), y.double().mean()] if len(x) else [0.0, 0.0]
        assert center.tolist() == pytest.approx([float(v) for v in expected], rel=1e-6)


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
def test_golden_mass_centers_and_downsampling(golden, size):
    data = golden("utils").load("utils")
    masks = data[f"mask_{size}"]
    centers, _ = mass_centers(masks)
    assert torch.equal(centers.flip(1), data[f"com_yx_{size}"])
    for stride in (2, 4, 8, 16):
        if masks.shape[1] % stride == 0 and masks.shape[2] % stride == 0:
            expected = data[f"imrescale_{size}_s{stride}"]
            assert torch.equal(downsample_masks(masks, stride, expected.shape[1:]), expected)


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
