"""Aligned upsampling against interpolation at the formula's positions."""

import pytest
import torch

from solo_d2.layers import aligned_bilinear


def naive(maps, factor):
    _, _, height, width = maps.shape
    out = torch.empty(*maps.shape[:2], factor * height, factor * width)
    for j in range(factor * height):
        for i in range(factor * width):
            values = 0.0
            y, x = (max(p - factor // 2, 0) / factor for p in (j, i))
            for row, wy in ((int(y), 1 - y % 1), (int(y) + 1, y % 1)):
                for column, wx in ((int(x), 1 - x % 1), (int(x) + 1, x % 1)):
                    value = maps[:, :, min(row, height - 1), min(column, width - 1)]
                    values = values + wy * wx * value
            out[:, :, j, i] = values
    return out


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 1)])
def test_matches_formula(factor, size):
    maps = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(aligned_bilinear(maps, factor), naive(maps, factor))


def test_samples_stay_where_they_are():
    maps = torch.rand(1, 1, 5, 6)
    assert torch.allclose(aligned_bilinear(maps, 4)[..., 2::4, 2::4], maps)


def test_no_maps_half_precision_and_other_layouts():
    assert aligned_bilinear(torch.zeros(0, 1, 3, 4), 2).shape == (0, 1, 6, 8)
    maps = torch.rand(2, 4, 3, 5)
    strange = maps.to(memory_format=torch.channels_last)
    torch.testing.assert_close(aligned_bilinear(strange, 2), aligned_bilinear(maps, 2))
    assert aligned_bilinear(maps.bfloat16(), 2).dtype == torch.bfloat16
