"""Locations of all levels against the formula, cell by cell."""

import pytest
import torch

from solo_d2.methods.condinst.points import PointGenerator
from solo_d2.utils.errors import InputError

GENERATOR = PointGenerator.from_lists([8, 16, 5], [20, 40])
SIZES = [(3, 4), (2, 2), (1, 3)]


def test_locations_are_the_formula_row_by_row():
    points = GENERATOR.generate(SIZES, torch.device("cpu"))
    expected = [
        (stride // 2 + x * stride, stride // 2 + y * stride, stride, level)
        for level, (stride, (height, width)) in enumerate(zip(GENERATOR.strides, SIZES, strict=True))
        for y in range(height)
        for x in range(width)
    ]
    ours = torch.cat([points.locations, points.strides[:, None], points.levels[:, None]], dim=1)
    assert ours.tolist() == [list(map(float, row)) for row in expected]
    assert points.sizes == tuple(SIZES)


def test_size_ranges_meet_at_the_bounds():
    assert GENERATOR.size_ranges == ((-1, 20), (20, 40), (40, float("inf")))
    assert PointGenerator.from_lists([8], []).size_ranges == ((-1, float("inf")),)


def test_bounds_and_strides_have_to_fit():
    with pytest.raises(InputError, match="sizes_of_interest needs one entry fewer"):
        PointGenerator.from_lists([8, 16], [64, 128])
