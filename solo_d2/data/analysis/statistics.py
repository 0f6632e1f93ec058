"""Measures instance sizes, and how many instances share a cell of SOLO's grids.

All sizes are in network-input pixels, after the short side is resized. An instance's scale is sqrt(box width
x height), its center is its mask's center of mass, as in the SOLO paper, section 3.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pycocotools import mask as coco_mask

from solo_d2.structures import mass_centers
from solo_d2.structures.coco_masks import pack
from solo_d2.utils.errors import InputError

_PADDING = 32  # the input is padded to a multiple of this


@dataclass(frozen=True)
class InstanceTable:
    """All non-crowd instances of a data set, in the pixels of the image files.

    N: instances, M: images.

    Attributes:
        image: (N,) index of the instance's image.
        scale: (N,) sqrt of the box area.
        center: (N, 2) center of mass (x, y) in pixel indices.
        image_size: (M, 2) width and height.
        crowds: Number of crowd annotations, which are not in the table.
    """

    image: np.ndarray
    scale: np.ndarray
    center: np.ndarray
    image_size: np.ndarray
    crowds: int


@dataclass(frozen=True)
class LevelStatistics:
    """One level at one input size.

    Attributes:
        grid: Cells per side.
        scale_range: Smallest and largest scale, inclusive, in pixels.
        instances: Number of instances assigned to the level.
        collisions: Number of those that share their center cell with another instance of the image.
    """

    grid: int
    scale_range: tuple[int, int]
    instances: int
    collisions: int


def tabulate_instances(content: dict) -> InstanceTable:
    """Collects scales and centers from cleaned COCO annotations.

    Args:
        content: Result of ``solo_d2.data.datasets.coco_cleaning.clean_coco``.

    Returns:
        The table.

    Raises:
        InputError: If there is no instance.
    """
    index = {record["id"]: position for position, record in enumerate(content["images"])}
    sizes = np.array([(record["width"], record["height"]) for record in content["images"]], float)
    image, scale, center, crowds = [], [], [], 0
    for record in content["annotations"]:
        if record["iscrowd"]:
            crowds += 1
            continue
        position = index[record["image_id"]]
        width, height = (int(value) for value in sizes[position])
        center_of_mass = mass_center(record["segmentation"], height, width)
        image.append(position)
        scale.append(np.sqrt(record["bbox"][2] * record["bbox"][3]))
        center.append(center_of_mass)
    if not image:
        raise InputError("the annotations hold no instance (crowds are not counted)")
    return InstanceTable(np.array(image), np.array(scale), np.array(center), sizes, crowds)


def mass_center(segmentation: list | dict, height: int, width: int) -> tuple[float, float]:
    """Computes the center of mass (x, y) of a COCO segmentation, in pixel indices of the image."""
    packed = pack(segmentation, height, width)
    left, top, wide, high = (int(value) for value in coco_mask.toBbox(packed))
    mask = coco_mask.decode(packed)[top : top + high, left : left + wide]
    x, y = mass_centers(torch.from_numpy(mask.astype(bool))[None])[0][0].tolist()
    return left + x, top + y


def resize_factors(image_size: np.ndarray, min_size: int, max_size: int) -> np.ndarray:
    """Computes factors that resize short sides to ``min_size``, but long sides at most to ``max_size``.

    Args:
        image_size: (M, 2).
        min_size: Short side in pixels.
        max_size: Maximum long side in pixels.

    Returns:
        (M,) factors.
    """
    return np.minimum(min_size / image_size.min(axis=1), max_size / image_size.max(axis=1))


def input_scales(table: InstanceTable, min_size: int, max_size: int) -> np.ndarray:
    """Returns (N,) instance scales in network-input pixels."""
    return table.scale * resize_factors(table.image_size, min_size, max_size)[table.image]


def level_statistics(
    table: InstanceTable,
    min_size: int,
    max_size: int,
    grids: Sequence[int],
    ranges: Sequence[Sequence[int]],
) -> list[LevelStatistics]:
    """Counts instances and center-cell collisions of every level.

    Args:
        table: The instances.
        min_size: Short side of the input in pixels.
        max_size: Longest side of the input in pixels.
        grids: Cells per side, one per level.
        ranges: Inclusive scale bounds in pixels, one pair per level.

    Returns:
        One entry per level.
    """
    members = _members(table, min_size, max_size, grids, ranges)
    return [
        LevelStatistics(grid, (bounds[0], bounds[1]), len(member), int(shared.sum()))
        for grid, bounds, (member, shared) in zip(grids, ranges, members, strict=True)
    ]


def collision_fraction(
    table: InstanceTable,
    min_size: int,
    max_size: int,
    grids: Sequence[int],
    ranges: Sequence[Sequence[int]],
) -> float:
    """Returns the fraction of all instances that share their center cell on all of their levels."""
    assigned, free = np.zeros((2, len(table.image)), bool)
    for member, shared in _members(table, min_size, max_size, grids, ranges):
        assigned[member] = True
        free[member[~shared]] = True
    return float((assigned & ~free).mean())


def _members(
    table: InstanceTable,
    min_size: int,
    max_size: int,
    grids: Sequence[int],
    ranges: Sequence[Sequence[int]],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the indices of each level's instances, and which of them share their center cell."""
    scales = input_scales(table, min_size, max_size)
    for grid, (low, high) in zip(grids, ranges, strict=True):
        member = np.flatnonzero((scales >= low) & (scales <= high))
        yield member, _shared(_center_cells(table, min_size, max_size, grid)[member])


def _center_cells(table: InstanceTable, min_size: int, max_size: int, grid: int) -> np.ndarray:
    """Returns (N,) numbers that are equal for instances of one image with the same center cell."""
    factors = resize_factors(table.image_size, min_size, max_size)[:, None]
    padded = np.ceil(np.rint(table.image_size * factors) / _PADDING) * _PADDING
    cell = (table.center * factors[table.image] / padded[table.image] * grid).astype(np.int64)
    return (table.image * grid + cell[:, 1]) * grid + cell[:, 0]


def _shared(cells: np.ndarray) -> np.ndarray:
    """Returns True for each number that occurs more than once."""
    _, inverse, counts = np.unique(cells, return_inverse=True, return_counts=True)
    return counts[inverse.reshape(-1)] > 1
