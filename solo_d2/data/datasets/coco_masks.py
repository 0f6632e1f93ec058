"""Checks and measures of one COCO segmentation: polygons, compressed or uncompressed RLE.

Compressed RLE is parsed here before pycocotools sees it, because its decoder trusts its input.
"""

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np
from pycocotools import mask as coco_mask

# Polygons that lie in the image and enclose at least this area cover a pixel; smaller ones are rasterised.
_CERTAIN_AREA = 4.0
NO_MASK, EMPTY_MASK = "no segmentation", "empty mask"
_COUNT_BITS = 5
_MOST_DIGITS = 7  # 5-bit digits of a run length below 2^31, sign included


class BrokenRecord(ValueError):
    """A record that cannot be used; the message is the reason, the same for all records of its kind."""


@dataclass(frozen=True)
class Measures:
    """What a segmentation says about its instance.

    Attributes:
        segmentation: in a form that COCO's own tools accept.
        area: in pixels.
        box: (x, y, width, height) in pixels.
        mended: what had to be changed, in words; "" if nothing.
    """

    segmentation: list | dict
    area: float
    box: tuple[float, float, float, float]
    mended: str = ""


def is_number(value: object) -> bool:
    """Whether a JSON value is a finite number (booleans are none)."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def measure_segmentation(segmentation: object, height: int, width: int) -> Measures:
    """Checks a segmentation and measures its mask.

    Args:
        segmentation: value of the JSON key.
        height: of the image, in pixels.
        width: of the image, in pixels.

    Returns:
        Its measures.

    Raises:
        BrokenRecord: the segmentation has no usable mask.
    """
    if not segmentation:
        raise BrokenRecord(NO_MASK)
    if isinstance(segmentation, dict):
        return _measure_rle(segmentation, height, width)
    if isinstance(segmentation, list):
        return _measure_polygons(segmentation, height, width)
    raise BrokenRecord("segmentation is neither polygons nor RLE")


def _measure_polygons(polygons: list, height: int, width: int) -> Measures:
    mended = ""
    if all(is_number(value) for value in polygons):
        polygons, mended = [polygons], "polygon without its outer list wrapped"
    kept, problem = [], ""
    for polygon in polygons:
        reason = _polygon_problem(polygon)
        if reason:
            problem = problem or reason
        else:
            kept.append(polygon)
    if not kept:
        raise BrokenRecord(problem)
    if len(kept) < len(polygons):
        mended = "unusable polygon parts dropped"
    points = np.concatenate([np.asarray(polygon, np.float64).reshape(-1, 2) for polygon in kept])
    low = np.clip(points.min(axis=0), 0, (width, height))
    high = np.clip(points.max(axis=0), 0, (width, height))
    inside = bool((points >= 0).all() and (points <= (width, height)).all())
    area = sum(_enclosed_area(polygon) for polygon in kept)
    # Parts that overlap and parts outside the image do not count: the raster decides.
    if len(kept) > 1 or not inside or area < _CERTAIN_AREA:
        parts = coco_mask.frPyObjects(kept, height, width)
        area = float(coco_mask.area(coco_mask.merge(parts)))
        if area == 0:
            raise BrokenRecord(EMPTY_MASK)
    left, top, right, bottom = (float(value) for value in (*low, *high))
    return Measures(kept, area, (left, top, right - left, bottom - top), mended)


def _polygon_problem(polygon: object) -> str:
    if not isinstance(polygon, list) or not all(is_number(value) for value in polygon):
        return "polygon with something that is not a number"
    if len(polygon) % 2:
        return "polygon with an odd number of coordinates"
    return "polygon with fewer than three points" if len(polygon) < 6 else ""


def _enclosed_area(polygon: list[float]) -> float:
    x, y = np.asarray(polygon, np.float64).reshape(-1, 2).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _measure_rle(rle: dict, height: int, width: int) -> Measures:
    size, counts = rle.get("size"), rle.get("counts")
    if size != [height, width]:
        raise BrokenRecord("RLE whose size is not the image's")
    if isinstance(counts, str):
        runs = _parse_counts(counts)
    elif isinstance(counts, list) and all(isinstance(run, int) for run in counts):
        runs = np.array(counts, np.int64)
    else:
        raise BrokenRecord("malformed RLE")
    if (runs < 0).any() or runs.sum() != height * width:
        raise BrokenRecord("malformed RLE")
    area = float(runs[1::2].sum())
    if area == 0:
        raise BrokenRecord(EMPTY_MASK)
    packed = rle if isinstance(counts, str) else coco_mask.frPyObjects(rle, height, width)
    left, top, wide, high = (float(value) for value in coco_mask.toBbox(packed))
    return Measures({"size": size, "counts": counts}, area, (left, top, wide, high))


def _parse_counts(text: str) -> np.ndarray:
    """Run lengths of a compressed RLE: little-endian 5-bit digits, from the fourth on as differences."""
    codes = np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int64) - 48
    if len(codes) == 0 or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise BrokenRecord("malformed RLE")
    last = (codes & 32) == 0
    starts = np.concatenate([[0], np.flatnonzero(last)[:-1] + 1])
    place = np.arange(len(codes)) - np.repeat(starts, np.diff([*starts, len(codes)]))
    if place.max() >= _MOST_DIGITS:
        raise BrokenRecord("malformed RLE")
    values = np.add.reduceat((codes & 31) << (_COUNT_BITS * place), starts)
    negative = (codes[last] & 16) != 0
    values = values - (negative.astype(np.int64) << (_COUNT_BITS * (place[last] + 1)))
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
