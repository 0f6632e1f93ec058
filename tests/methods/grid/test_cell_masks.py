"""Masks of chosen cells, unified and per level, against direct computation."""

import pytest
import torch

from solo_d2.methods.grid.cell_masks import CellPlaces, LevelMasks, UnifiedMasks
from solo_d2.methods.grid.layout import GridLayout, GridTargets

LAYOUT = GridLayout.from_lists([8, 8, 16], [3, 2, 1], [(1, 24), (16, 60), (40, 512)])
SIZES = [(6, 8), (6, 8), (3, 4)]


def make_targets(cells, instances, num_instances=3):
    generator = torch.Generator().manual_seed(0)
    masks = {
        stride: torch.rand(num_instances, *size, generator=generator) < 0.5
        for stride, size in ((4, (6, 8)), (8, (3, 4)))
    }
    cells = torch.tensor(cells, dtype=torch.int64)
    empty = torch.zeros(2, LAYOUT.num_cells, dtype=torch.int64)
    return GridTargets(empty, empty, torch.tensor(instances, dtype=torch.int64), cells, masks)


def level_masks(num_factors):
    """Maps (B, S^2, h, w) of every level and factor, and the masks that choose from them."""
    generator = torch.Generator().manual_seed(1)
    maps = [
        [torch.randn(2, grid**2, *size, generator=generator) for _ in range(num_factors)]
        for grid, size in zip(LAYOUT.num_grids, SIZES, strict=True)
    ]
    masks = LevelMasks(
        LAYOUT, SIZES, lambda level, images, cells: tuple(x[images, cells] for x in maps[level])
    )
    return maps, masks


@pytest.mark.parametrize("num_factors", [1, 2])
def test_level_masks_of_positives(num_factors):
    maps, masks = level_masks(num_factors)
    cells, instances = [0, 13, 9, 14 + 4, 14 + 13], [0, 1, 1, 2, 0]
    targets = make_targets(cells, instances)
    predictions = masks.positives(targets)
    expected = [[(0, 0, 0), (1, 4, 2)], [(0, 0, 1)], [(0, 0, 1), (1, 0, 0)]]
    for level, (prediction, group) in enumerate(zip(predictions, expected, strict=True)):
        wanted = targets.masks[8 if level == 2 else 4]
        assert len(prediction.logits) == num_factors
        assert torch.equal(prediction.targets, wanted[[instance for _, _, instance in group]])
        for factor, logits in enumerate(prediction.logits):
            direct = [maps[level][factor][image, cell] for image, cell, _ in group]
            assert torch.equal(logits, torch.stack(direct))


def test_level_masks_without_positives():
    _, masks = level_masks(1)
    predictions = masks.positives(make_targets([], []))
    assert [tuple(p.logits[0].shape) for p in predictions] == [(0, *size) for size in SIZES]
    assert all(p.targets.shape == p.logits[0].shape for p in predictions)


@pytest.mark.parametrize("num_factors", [1, 2])
def test_soft_level_masks_in_any_order(num_factors):
    maps, masks = level_masks(num_factors)
    cells = torch.tensor([13, 0, 12, 5])
    soft = masks.soft(1, cells)
    for cell, ours in zip(cells.tolist(), soft, strict=True):
        level = 2 if cell == 13 else 1 if cell >= 9 else 0
        factors = [x[1, cell - LAYOUT.offsets[level]].sigmoid() for x in maps[level]]
        product = torch.ones(6, 8)
        for factor in factors:
            up = torch.nn.functional.interpolate(factor[None, None], size=(6, 8), mode="bilinear")
            product = product * up[0, 0]
        torch.testing.assert_close(ours, product)
    assert masks.soft(0, cells[:0]).shape == (0, 6, 8)


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_unified_masks(kernel_size):
    generator = torch.Generator().manual_seed(2)
    kernels = torch.randn(2, LAYOUT.num_cells, 5 * kernel_size**2, generator=generator)
    feature = torch.randn(2, 5, 6, 8, generator=generator)
    masks = UnifiedMasks(kernels, feature, kernel_size, 4)
    assert masks.size == (6, 8) and masks.strides == [4]
    targets = make_targets([3, 3, 14 + 13], [0, 1, 2])
    (prediction,) = masks.positives(targets)
    assert torch.equal(prediction.targets, targets.masks[4])
    for logits, image, cell in zip(prediction.logits[0], (0, 0, 1), (3, 3, 13), strict=True):
        kernel = kernels[image, cell].view(1, 5, kernel_size, kernel_size)
        direct = torch.nn.functional.conv2d(feature[image][None], kernel, padding=kernel_size // 2)[0, 0]
        torch.testing.assert_close(logits, direct)
        soft = masks.soft(image, torch.tensor([0, cell]))[1]
        torch.testing.assert_close(soft, direct.sigmoid())


def place_term(weights, cell, height, width):
    """The terms that :class:`CellPlaces` adds to one cell's logits, pixel by pixel."""
    level = 2 if cell == 13 else 1 if cell >= 9 else 0
    grid, number = LAYOUT.num_grids[level], cell - LAYOUT.offsets[level]
    curvature, along_x, along_y = weights.tolist()
    term = torch.empty(height, width)
    for y in range(height):
        for x in range(width):
            dx = (x + 0.5) / width * grid - (number % grid + 0.5)
            dy = (y + 0.5) / height * grid - (number // grid + 0.5)
            term[y, x] = -curvature * (dx * dx + dy * dy) + along_x * dx + along_y * dy
    return term


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_places_of_cells(dtype):
    generator = torch.Generator().manual_seed(3)
    weights = torch.randn(2, LAYOUT.num_cells, 3, generator=generator).to(dtype)
    kernels = torch.randn(2, LAYOUT.num_cells, 5, generator=generator)
    feature = torch.randn(2, 5, 6, 8, generator=generator)
    masks = UnifiedMasks(kernels, feature, 1, 4, CellPlaces(weights, LAYOUT))
    plain = UnifiedMasks(kernels, feature, 1, 4)
    cells = torch.tensor([[0, 13, 12], [5, 9, 13]])
    terms = torch.stack(
        [
            torch.stack([place_term(weights[i, cell], cell, 6, 8) for cell in row])
            for i, row in enumerate(cells.tolist())
        ]
    )
    wanted = (plain.soft_batch(cells).logit() + terms).sigmoid()
    torch.testing.assert_close(masks.soft_batch(cells), wanted, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(masks.soft(1, cells[1]), wanted[1], atol=1e-5, rtol=1e-4)
    targets = make_targets([13, 14 + 9], [0, 1])
    (placed,), (bare,) = masks.positives(targets), plain.positives(targets)
    torch.testing.assert_close(placed.logits[0], bare.logits[0] + terms[[0, 1], [1, 1]])
    assert masks.soft(0, cells[0, :0]).shape == (0, 6, 8)
    assert masks.positives(make_targets([], []))[0].logits[0].shape == (0, 6, 8)
