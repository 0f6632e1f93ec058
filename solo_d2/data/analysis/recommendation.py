"""Recommends input size, scale ranges, grids and schedule for a data set's instances."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .statistics import InstanceTable, input_scales, level_statistics

_GRID_CHOICES = (12, 16, 24, 36, 40, 48, 64, 80, 96)
_SMALLEST_CELL = 4.0  # pixels; one pixel of the mask feature
_MOST_COLLISIONS = 0.01  # maximum share of a level's instances in a recommended grid
# Lower bound of the second level's range, doubled for each next level. Default 48, light models 28 to 32.
_RANGE_BASES = (16, 24, 32, 48)
_ONLY_SIZE = 64  # of interest on the only level
_SIZE_FACTORS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)  # of the images' own short side
_SIZE_LIMITS = (128, 800)
_WANTED_SMALL_SCALE = 16.0  # pixels that the 5th percentile of the scales should reach
_SIZE_STEP = 32
_MAX_SIZE_RATIO = 5 / 3  # longest over short side, as 1333 for 800
# Measured to suffice for so many images in batches of 4; for more, the steps grow with the square root.
_STEPS, _STEPS_IMAGES, _STEPS_UNIT = 400, 12, 100


@dataclass(frozen=True)
class Recommendation:
    """Settings for a data set.

    Attributes:
        grids: ``MODEL.SOLOV2.NUM_GRIDS``.
        ranges: ``MODEL.SOLOV2.FPN_SCALE_RANGES``.
        min_sizes_train: ``INPUT.MIN_SIZE_TRAIN``.
        min_size_test: ``INPUT.MIN_SIZE_TEST``.
        max_size: ``INPUT.MAX_SIZE_TRAIN`` and ``_TEST``.
    """

    grids: tuple[int, ...]
    ranges: tuple[tuple[int, int], ...]
    min_sizes_train: tuple[int, ...]
    min_size_test: int
    max_size: int

    @property
    def sizes_of_interest(self) -> tuple[int, ...]:
        """``MODEL.CONDINST.SIZES_OF_INTEREST``; all but the last are ``MODEL.FCOS.SIZES_OF_INTEREST``.

        Each is in the middle of the overlap of two levels' ranges, as the defaults of FCOS and SOLO are.
        """
        inner = [round(4 / 3 * low) for low, _ in self.ranges[1:]]
        return (*inner, 2 * inner[-1] if inner else _ONLY_SIZE)


def recommend_steps(images: int) -> int:
    """Returns ``SOLVER.MAX_ITER`` for so many images, in batches of 4, of a small pretrained model."""
    steps = _STEPS * max(1.0, images / _STEPS_IMAGES) ** 0.5
    return round(steps / _STEPS_UNIT) * _STEPS_UNIT


def recommend(
    table: InstanceTable,
    grids: Sequence[int],
    largest: int,
    min_size: int | None = None,
    max_size: int | None = None,
    least_size: int = 0,
) -> Recommendation:
    """Chooses input size, scale ranges and grids.

    The input is the smallest one that shows the 5th percentile of the scales at 16 px, up to twice the
    images' own size. The ranges start low enough for large instances to reach the upper levels. A grid grows
    until at most 1% of its level's instances collide or a cell is 4 px wide.

    Args:
        table: The instances.
        grids: Smallest number of cells per side of each level.
        largest: Upper bound of the last level's scales in pixels.
        min_size: Short side to use; chosen by default.
        max_size: Maximum long side; by default 5/3 of the short side, as 1333 for 800.
        least_size: Smallest short side to choose.

    Returns:
        The recommendation.
    """
    chosen = min_size or max(_choose_size(table), least_size)
    longest = max_size or max(round(chosen * _MAX_SIZE_RATIO), 1)
    scales = input_scales(table, chosen, longest)
    ranges = _choose_ranges(scales, len(grids), largest)
    chosen_grids = [
        _choose_grid(table, chosen, longest, grid, bounds) for grid, bounds in zip(grids, ranges, strict=True)
    ]
    first = max(_SIZE_STEP, _multiple(0.8 * chosen))
    sizes = sorted({*range(first, chosen, _SIZE_STEP), chosen})
    return Recommendation(tuple(chosen_grids), ranges, tuple(sizes), chosen, longest)


def _choose_size(table: InstanceTable) -> int:
    short = float(np.median(table.image_size.min(axis=1)))
    choices = [
        _multiple(min(max(short * factor, _SIZE_LIMITS[0]), _SIZE_LIMITS[1])) for factor in _SIZE_FACTORS
    ]
    small = float(np.percentile(table.scale, 5)) / short
    return next((size for size in choices if size * small >= _WANTED_SMALL_SCALE), choices[-1])


def _multiple(length: float) -> int:
    return max(1, round(length / _SIZE_STEP)) * _SIZE_STEP


def _choose_ranges(scales: np.ndarray, levels: int, largest: int) -> tuple[tuple[int, int], ...]:
    large = float(np.percentile(scales, 95))
    wanted = large / 2 ** max(levels - 2, 0)
    base = min(_RANGE_BASES, key=lambda value: abs(value - wanted))
    ranges = [
        (1 if level == 0 else base * 2 ** (level - 1), base * 2 ** (level + 1)) for level in range(levels)
    ]
    ranges[-1] = (ranges[-1][0], largest)
    return tuple(ranges)


def _choose_grid(
    table: InstanceTable, min_size: int, max_size: int, smallest: int, bounds: tuple[int, int]
) -> int:
    best = smallest
    for grid in _GRID_CHOICES:
        if grid < smallest or min_size / grid < _SMALLEST_CELL:
            continue
        best = grid
        (level,) = level_statistics(table, min_size, max_size, [grid], [bounds])
        if level.collisions <= _MOST_COLLISIONS * level.instances:
            break
    return best
