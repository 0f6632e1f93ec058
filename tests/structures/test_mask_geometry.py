"""Mass centers against loops over pixels and the recorded public behavior."""

import numpy as np
import pytest
import torch

from solo_d2.structures import mass_centers
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


@pytest.mark.parametrize("size", ["128x192", "112x168", "101x77", "750x1333"])
def test_golden_mass_centers(golden, size):
    data = golden("utils").load("utils")
    masks = data[f"mask_{size}"]
    centers, _ = mass_centers(masks)
    assert torch.equal(centers.flip(1), data[f"com_yx_{size}"])
