"""Outlines of the thing classes and their anti-aliased rasters.

A shape is one outer polygon and at most one hole, rotated and scaled so that the longer side of its box is a
given diameter. Coverage is counted on a 4x finer grid in integer arithmetic, so it is the same on every
machine.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

SUPERSAMPLING = 4
_CIRCLE_VERTICES = 48


@dataclass(frozen=True)
class Outline:
    """Polygons in pixels, (x, y) relative to the center of the shape's box.

    Attributes:
        outer: (V, 2) float64.
        hole: (W, 2) float64, or None.
    """

    outer: np.ndarray
    hole: np.ndarray | None = None


def _regular(vertices: int, radii: tuple[float, ...]) -> np.ndarray:
    angles = [2 * math.pi * index / vertices for index in range(vertices)]
    lengths = [radii[index % len(radii)] for index in range(vertices)]
    return np.array([(r * math.sin(a), -r * math.cos(a)) for a, r in zip(angles, lengths, strict=True)])


def _disc(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
    return _regular(_CIRCLE_VERTICES, (1.0,)) * (1.0, rng.uniform(0.75, 1.0)), None


def _square(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
    half = rng.uniform(0.7, 1.0)
    return np.array([(-1.0, -half), (1.0, -half), (1.0, half), (-1.0, half)]), None


def _triangle(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
    corners = _regular(3, (1.0,))
    return corners + rng.uniform(-0.15, 0.15, size=corners.shape), None


def _star(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
    return _regular(10, (1.0, rng.uniform(0.40, 0.50))), None


def _ring(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
    squash = (1.0, rng.uniform(0.8, 1.0))
    outer = _regular(_CIRCLE_VERTICES, (1.0,)) * squash
    return outer, outer * rng.uniform(0.45, 0.6)


_UNIT_OUTLINES = {
    "disc": _disc,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "ring": _ring,
}


def make_outline(kind: str, diameter: float, rng: np.random.Generator) -> Outline:
    """Draws a random outline of a class.

    Args:
        kind: One of ``THING_CLASSES``.
        diameter: Longer side of the outline's box in pixels.
        rng: Source of proportions and rotation.

    Returns:
        The rotated outline, its box centered at (0, 0).
    """
    outer, hole = _UNIT_OUTLINES[kind](rng)
    angle = rng.uniform(0, 2 * math.pi)
    rotation = np.array([(math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))])
    outer = outer @ rotation
    low, high = outer.min(axis=0), outer.max(axis=0)
    center, scale = (low + high) / 2, diameter / float((high - low).max())
    if hole is not None:
        hole = (hole @ rotation - center) * scale
    return Outline((outer - center) * scale, hole)


def rasterize(outline: Outline, center: tuple[float, float], size: int) -> tuple[np.ndarray, int]:
    """Computes the coverage of every pixel by an outline.

    Args:
        outline: Polygons relative to ``center``.
        center: (x, y) in pixels; pixel (i, j) covers [j, j + 1) x [i, i + 1).
        size: Side of the square image in pixels. Parts outside are cut off.

    Returns:
        (size, size) uint8, 255 = fully covered; and the pixels at least half covered before
        cutting.
    """
    outer = outline.outer + center
    left, top = (int(value) for value in np.floor(outer.min(axis=0)))
    width, height = (int(value) for value in np.ceil(outer.max(axis=0)) - (left, top))
    fine = np.zeros((height * SUPERSAMPLING, width * SUPERSAMPLING), np.uint8)
    for polygon, value in ((outline.outer, 255), (outline.hole, 0)):
        if polygon is not None:
            points = (polygon + center - (left, top)) * SUPERSAMPLING - 0.5
            cv2.fillPoly(fine, [np.rint(points).astype(np.int32)], value)
    # Means of 4 x 4 values 0 and 255 are exact in float32, so this resize is the same on every machine.
    local = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    alpha = np.zeros((size, size), np.uint8)
    rows = slice(max(0, top), max(0, min(size, top + height)))
    columns = slice(max(0, left), max(0, min(size, left + width)))
    alpha[rows, columns] = local[
        rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
    ]
    return alpha, int(np.count_nonzero(local >= 128))


def soften(alpha: np.ndarray, width: int) -> np.ndarray:
    """Blurs an alpha matte by two box filters, in integer arithmetic.

    Args:
        alpha: (H, W) uint8.
        width: Odd side of the box in pixels; 1 changes nothing.

    Returns:
        (H, W) uint8. Beyond the border the matte continues with its edge value.
    """
    if width <= 1:
        return alpha
    half = width // 2
    values = np.pad(alpha.astype(np.int64), 2 * half, mode="edge")
    for _ in range(2):
        for axis in (0, 1):
            values = _box_sum(values, 2 * half + 1, axis)
    divisor = (2 * half + 1) ** 4
    return ((values + divisor // 2) // divisor).astype(np.uint8)


def _box_sum(values: np.ndarray, width: int, axis: int) -> np.ndarray:
    """Sums of ``width`` neighbors along ``axis``, valid part only."""
    sums = np.cumsum(np.moveaxis(values, axis, 0), axis=0)
    sums = np.concatenate([np.zeros_like(sums[:1]), sums])
    return np.moveaxis(sums[width:] - sums[:-width], 0, axis)
