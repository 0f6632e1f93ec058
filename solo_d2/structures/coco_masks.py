"""Checks and measures one COCO segmentation: polygons, compressed or uncompressed RLE.

pycocotools trusts its input. Its memory and time grow with the length of an outline, even far outside the
image, and its decoder of compressed RLE reads past a malformed end. So every input is checked first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask

from solo_d2.utils.json_values import LARGEST_NUMBER, is_number

NO_MASK, EMPTY_MASK = "no segmentation", "empty mask"
FAR_OUTSIDE = "polygon far outside its image"
# Maximum distance of a polygon from its image, in units of the image's longer side.
_REACH = 10
# Maximum outline in pixels and in longer sides; pycocotools takes 0.2 s and 200 MB for the former.
_LONGEST_OUTLINE, _LONGEST_OUTLINE_IN_SIDES = 4e6, 1e4
_COUNT_BITS = 5
_MOST_DIGITS = 7  # 5-bit digits of a run length below 2^31, sign included


class BrokenRecord(ValueError):
    """A record that cannot be used; the message gives the reason and is the same for all such records."""


@dataclass(frozen=True)
class Measures:
    """Measures of an instance, taken from its segmentation.

    Attributes:
        segmentation: The segmentation in a form that COCO's own tools accept.
        area: Area in pixels.
        box: (x, y, width, height) in pixels.
        fixed: Description of the repair; "" if nothing was changed.
    """

    segmentation: list | dict
    area: float
    box: tuple[float, float, float, float]
    fixed: str = ""


def measure_segmentation(segmentation: object, height: int, width: int) -> Measures:
    """Checks a segmentation and measures its mask.

    Args:
        segmentation: Value of the JSON key.
        height: Of the image, in pixels.
        width: Of the image, in pixels.

    Returns:
        Its measures.

    Raises:
        BrokenRecord: If the segmentation has no usable mask.
    """
    if not segmentation:
        raise BrokenRecord(NO_MASK)
    if isinstance(segmentation, dict):
        return _measure_rle(segmentation, height, width)
    if isinstance(segmentation, list):
        return _measure_polygons(segmentation, height, width)
    raise BrokenRecord("segmentation is neither polygons nor RLE")


def check_segmentation(segmentation: object, height: int, width: int) -> None:
    """Checks that a segmentation is safe for pycocotools; it may be empty.

    Args:
        segmentation: Value of the JSON key.
        height: Of the image, in pixels.
        width: Of the image, in pixels.

    Raises:
        BrokenRecord: If it is not safe.
    """
    if isinstance(segmentation, dict):
        _read_runs(segmentation, height, width)
    elif isinstance(segmentation, list):
        for polygon in segmentation:
            reason = _polygon_problem(polygon, height, width)
            if reason:
                raise BrokenRecord(reason)
    elif segmentation is not None:
        raise BrokenRecord("segmentation is neither polygons nor RLE")


def pack(segmentation: list | dict, height: int, width: int) -> dict:
    """Converts a checked segmentation, polygons or RLE, to one compressed RLE.

    Args:
        segmentation: Polygons, whose union is taken, or RLE.
        height: Of the image, in pixels.
        width: Of the image, in pixels.
    """
    if isinstance(segmentation, list):
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    if isinstance(segmentation["counts"], list):
        return coco_mask.frPyObjects(segmentation, height, width)
    return segmentation


def mask_fields(mask: np.ndarray) -> dict:
    """Returns the fields of a mask's COCO record.

    Args:
        mask: (H, W) bool.

    Returns:
        "segmentation", compressed RLE; "area", int; "bbox", x, y, width, height, floats. All in pixels.
    """
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {
        "segmentation": {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")},
        "area": int(coco_mask.area(rle)),
        "bbox": coco_mask.toBbox(rle).tolist(),
    }


def is_near_image(polygon: Sequence[float], height: int, width: int) -> bool:
    """Returns True if a polygon is small enough to be rasterized in little time and memory.

    Args:
        polygon: Numbers x, y, x, y, ...; at least one.
        height: Of the image, in pixels.
        width: Of the image, in pixels.
    """
    side = max(height, width)
    if not -LARGEST_NUMBER <= sum(polygon) <= LARGEST_NUMBER:
        return False
    if min(polygon) < -_REACH * side or max(polygon) > (1 + _REACH) * side:
        return False
    longest = min(_LONGEST_OUTLINE, _LONGEST_OUTLINE_IN_SIDES * side)
    at_most = len(polygon) * (1 + 2 * _REACH) * side
    return at_most <= longest or _outline(polygon) <= longest


def _measure_polygons(polygons: list, height: int, width: int) -> Measures:
    polygons, fixed = _plain_polygons(polygons)
    kept, problem = [], ""
    for polygon in polygons:
        reason = _polygon_problem(polygon, height, width)
        if reason:
            problem = problem or reason
        else:
            kept.append(polygon)
    if not kept:
        raise BrokenRecord(problem)
    if len(kept) < len(polygons):
        fixed = "unusable polygon parts dropped"
    points = np.concatenate([np.asarray(polygon, np.float64).reshape(-1, 2) for polygon in kept])
    low = np.clip(points.min(axis=0), 0, (width, height))
    high = np.clip(points.max(axis=0), 0, (width, height))
    inside = bool((points >= 0).all() and (points <= (width, height)).all())
    area = sum(_enclosed_area(polygon) for polygon in kept)
    # A polygon whose area exceeds its outline's length is wide enough to cover a pixel, so its exact area is
    # used. Otherwise, or if parts may overlap or leave the image, the raster decides.
    if len(kept) > 1 or not inside or area <= _outline(kept[0]):
        area = float(coco_mask.area(pack(kept, height, width)))
        if area == 0:
            raise BrokenRecord(EMPTY_MASK)
    left, top, right, bottom = (float(value) for value in (*low, *high))
    return Measures(kept, area, (left, top, right - left, bottom - top), fixed)


def _plain_polygons(polygons: list) -> tuple[list, str]:
    """Returns polygons as lists of numbers, and what was changed for that; "" for nothing."""
    if all(is_number(value) for value in polygons):
        return [polygons], "polygon without its outer list wrapped"
    paired = "polygon of [x, y] pairs flattened"
    if len(polygons) > 2 and all(_is_pair(value) for value in polygons):
        polygons = [polygons]
    flat = [_flattened(polygon) for polygon in polygons]
    return flat, paired if flat != polygons else ""


def _flattened(polygon: object) -> object:
    if isinstance(polygon, list) and polygon and all(map(_is_pair, polygon)):
        return [number for pair in polygon for number in pair]
    return polygon


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_number, value))


def _polygon_problem(polygon: object, height: int, width: int) -> str:
    if not isinstance(polygon, list) or not all(is_number(value) for value in polygon):
        return "polygon with something that is not a number"
    if len(polygon) % 2:
        return "polygon with an odd number of coordinates"
    if len(polygon) < 6:
        return "polygon with fewer than three points"
    return "" if is_near_image(polygon, height, width) else FAR_OUTSIDE


def _outline(polygon: Sequence[float]) -> float:
    """Returns the length of a closed polygon's outline in pixels; an edge counts its longer extent."""
    points = np.asarray(polygon, np.float64).reshape(-1, 2)
    return float(np.abs(points - np.roll(points, -1, axis=0)).max(axis=1).sum())


def _enclosed_area(polygon: list[float]) -> float:
    x, y = np.asarray(polygon, np.float64).reshape(-1, 2).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _measure_rle(rle: dict, height: int, width: int) -> Measures:
    rle, fixed = _plain_rle(rle)
    area = float(_read_runs(rle, height, width)[1::2].sum())
    if area == 0:
        raise BrokenRecord(EMPTY_MASK)
    plain = {"size": [height, width], "counts": rle["counts"]}
    left, top, wide, high = (float(value) for value in coco_mask.toBbox(pack(plain, height, width)))
    return Measures(plain, area, (left, top, wide, high), fixed)


def _plain_rle(rle: dict) -> tuple[dict, str]:
    """Returns an RLE with the counts of ``str(bytes)`` as text, and what was changed; "" for nothing."""
    counts = rle.get("counts")
    if not isinstance(counts, str) or (counts[:2], counts[-1:]) != ("b'", "'"):  # RLE has no quotes
        return rle, ""
    return {**rle, "counts": counts[2:-1].replace("\\\\", "\\")}, "RLE counts written as b'...' read"


def _read_runs(rle: dict, height: int, width: int) -> np.ndarray:
    """Returns run lengths that add up to the image; raises ``BrokenRecord`` otherwise."""
    counts, pixels = rle.get("counts"), height * width
    if rle.get("size") != [height, width]:
        raise BrokenRecord("RLE whose size is not the image's")
    if isinstance(counts, str):
        runs = _parse_counts(counts)
    elif isinstance(counts, list) and all(isinstance(run, int) and run <= pixels for run in counts):
        runs = np.array(counts, np.int64)
    else:
        raise BrokenRecord("malformed RLE")
    if (runs < 0).any() or runs.sum() != pixels:
        raise BrokenRecord("malformed RLE")
    return runs


def _parse_counts(text: str) -> np.ndarray:
    """Decodes a compressed RLE's run lengths: little-endian 5-bit digits, differences from the fourth on."""
    codes = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8).astype(np.int64) - 48
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
