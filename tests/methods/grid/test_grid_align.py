"""Feature maps to grid cells, each way against a loop over cells."""

import math

import pytest
import torch
import torch.nn.functional as F

from solo_d2.methods.grid.head import align_to_grid

REGION_POINTS = 4


def bilinear(feature, y, x):
    """The (H, W) feature at a position in pixels, half-pixel centers, borders repeated."""
    height, width = feature.shape
    y, x = min(max(y - 0.5, 0), height - 1), min(max(x - 0.5, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    fy, fx = y - top, x - left
    upper = feature[top, left] * (1 - fx) + feature[top, right] * fx
    lower = feature[bottom, left] * (1 - fx) + feature[bottom, right] * fx
    return float(upper * (1 - fy) + lower * fy)


def by_loops(feature, grid, alignment):
    height, width = feature.shape
    cells = torch.zeros(grid, grid)
    for i in range(grid):
        for j in range(grid):
            top, bottom = i * height / grid, (i + 1) * height / grid
            left, right = j * width / grid, (j + 1) * width / grid
            if alignment == "adaptive_max_pool":
                cells[i, j] = feature[
                    math.floor(top) : math.ceil(bottom), math.floor(left) : math.ceil(right)
                ].max()
                continue
            points = REGION_POINTS if alignment == "region_grid" else 1
            steps = [(k + 0.5) / points for k in range(points)]
            values = [
                bilinear(feature, top + dy * (bottom - top), left + dx * (right - left))
                for dy in steps
                for dx in steps
            ]
            cells[i, j] = sum(values) / len(values)
    return cells


@pytest.mark.parametrize("alignment", ["interpolate", "adaptive_max_pool", "region_grid"])
@pytest.mark.parametrize("size, grid", [((8, 12), 4), ((7, 5), 6), ((3, 4), 5)])
def test_equals_a_loop_over_cells(alignment, size, grid):
    features = torch.randn(2, 3, *size)
    cells = align_to_grid(features, grid, alignment)
    assert cells.shape == (2, 3, grid, grid)
    for feature, ours in zip(features.flatten(0, 1), cells.flatten(0, 1), strict=True):
        torch.testing.assert_close(ours, by_loops(feature, grid, alignment), atol=1e-5, rtol=1e-5)


def test_interpolation_is_the_published_one():
    features = torch.randn(1, 2, 9, 6)
    expected = F.interpolate(features, size=(4, 4), mode="bilinear", align_corners=False)
    assert torch.equal(align_to_grid(features, 4, "interpolate"), expected)
