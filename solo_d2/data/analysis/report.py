"""Formats the report of ``solo-d2 analyze dataset``."""

from collections.abc import Sequence

import numpy as np

from .recommendation import Recommendation
from .statistics import InstanceTable, collision_fraction, input_scales, level_statistics

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)


def format_report(
    table: InstanceTable, advice: Recommendation, grids: Sequence[int], ranges: Sequence[Sequence[int]]
) -> str:
    """Describes a data set at the recommended input size.

    Args:
        table: The instances.
        advice: The recommended settings.
        grids: Default cells per side of each level, for comparison.
        ranges: Default scale bounds in pixels of each level.

    Returns:
        Lines of text; the last block is YAML to paste into a config file.
    """
    size = advice.min_size_test, advice.max_size
    return "\n".join(
        [
            *_overview(table, *size),
            "",
            *_level_table("Default levels", table, size, grids, ranges),
            "",
            *_level_table("Recommended levels", table, size, advice.grids, advice.ranges),
            "",
            "Recommended settings:",
            "",
            yaml_snippet(advice),
        ]
    )


def yaml_snippet(advice: Recommendation) -> str:
    """Formats the recommendation as a config file."""
    ranges = ", ".join(f"[{low}, {high}]" for low, high in advice.ranges)
    return "\n".join(
        [
            "MODEL:",
            "  SOLOV2:",
            f"    NUM_GRIDS: [{', '.join(map(str, advice.grids))}]",
            f"    FPN_SCALE_RANGES: [{ranges}]",
            f"  FCOS: {{SIZES_OF_INTEREST: {list(advice.sizes_of_interest[:-1])}}}",
            f"  CONDINST: {{SIZES_OF_INTEREST: {list(advice.sizes_of_interest)}}}",
            "INPUT:",
            f"  MIN_SIZE_TRAIN: [{', '.join(map(str, advice.min_sizes_train))}]",
            f"  MAX_SIZE_TRAIN: {advice.max_size}",
            f"  MIN_SIZE_TEST: {advice.min_size_test}",
            f"  MAX_SIZE_TEST: {advice.max_size}",
        ]
    )


def _overview(table: InstanceTable, min_size: int, max_size: int) -> list[str]:
    images = len(table.image_size)
    per_image = np.bincount(table.image, minlength=images)
    scales = np.percentile(input_scales(table, min_size, max_size), PERCENTILES)
    width, height = (int(value) for value in np.median(table.image_size, axis=0))
    return [
        f"{images} images (median {width} x {height}), {int((per_image == 0).sum())} without instances",
        f"{len(table.image)} instances and {table.crowds} crowds; per image: median "
        f"{np.median(per_image):g}, 95% {np.percentile(per_image, 95):g}, most {per_image.max()}",
        f"Instance scale sqrt(w h) in pixels of an input of {min_size} (longest side {max_size}):",
        "  percentile " + "".join(f"{number:>7}" for number in PERCENTILES),
        "  scale      " + "".join(f"{value:7.1f}" for value in scales),
    ]


def _level_table(
    title: str,
    table: InstanceTable,
    size: tuple[int, int],
    grids: Sequence[int],
    ranges: Sequence[Sequence[int]],
) -> list[str]:
    lines = [f"{title}:", "  grid   scale range  instances  sharing their center cell"]
    for level in level_statistics(table, size[0], size[1], grids, ranges):
        low, high = level.scale_range
        share = level.collisions / max(1, level.instances)
        lines.append(
            f"  {level.grid:>4} {low:>6}..{high:<6} {level.instances:>9}  {level.collisions:>9} ({share:.1%})"
        )
    lost = collision_fraction(table, size[0], size[1], grids, ranges)
    return [*lines, f"  {lost:.1%} of all instances have no cell of their own on any level"]
