"""Checks and measures one COCO segmentation: polygons, compressed or uncompressed RLE.

pycocotools trusts its input. Its memory and time grow with the length of an outline, even far outside the
image, and its decoder of compressed RLE reads past a malformed end. So every input is checked first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import mul, sub

import numpy as np
import torch
from pycocotools import mask as coco_mask

from solo_d2.utils.json_values import LARGEST_NUMBER, are_numbers, is_number

from .masks import RunMasks

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
    x, y = ([value for polygon in kept for value in polygon[axis::2]] for axis in (0, 1))
    corners = (min(x), min(y), max(x), max(y))
    left, top, right, bottom = inside = clip_corners(corners, height, width)
    area = float(sum(_enclosed_area(polygon) for polygon in kept))
    # A polygon whose area exceeds its outline's length is wide enough to cover a pixel, so its exact area is
    # used. Otherwise, or if parts may overlap or leave the image, the raster decides.
    if len(kept) > 1 or inside != corners or area <= _outline(kept[0]):
        area = float(coco_mask.area(pack(kept, height, width)))
        if area == 0:
            raise BrokenRecord(EMPTY_MASK)
    box = (float(left), float(top), float(right - left), float(bottom - top))
    return Measures(kept, area, box, fixed)


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
    if not isinstance(polygon, list) or not are_numbers(polygon):
        return "polygon with something that is not a number"
    if len(polygon) % 2:
        return "polygon with an odd number of coordinates"
    if len(polygon) < 6:
        return "polygon with fewer than three points"
    return "" if is_near_image(polygon, height, width) else FAR_OUTSIDE


def _outline(polygon: Sequence[float]) -> float:
    """Returns the length of a closed polygon's outline in pixels; an edge counts its longer extent."""
    wide, high = (map(abs, map(sub, own, _following(own))) for own in (polygon[::2], polygon[1::2]))
    return sum(map(max, wide, high))


def _enclosed_area(polygon: list[float]) -> float:
    x, y = polygon[::2], polygon[1::2]
    return abs(sum(map(mul, x, _following(y))) - sum(map(mul, y, _following(x)))) / 2


def _following(values: Sequence[float]) -> list[float]:
    return [*values[1:], values[0]]


def clip_corners(corners: Sequence[float], height: int, width: int) -> tuple[float, float, float, float]:
    """Clips left, top, right and bottom to an image."""
    left, top, right, bottom = corners
    return (
        min(max(left, 0.0), width),
        min(max(top, 0.0), height),
        min(max(right, 0.0), width),
        min(max(bottom, 0.0), height),
    )


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
        runs = _parse_counts([counts])[0]
    elif isinstance(counts, list) and all(isinstance(run, int) and run <= pixels for run in counts):
        runs = np.array(counts, np.int64)
    else:
        raise BrokenRecord("malformed RLE")
    if (runs < 0).any() or runs.sum() != pixels:
        raise BrokenRecord("malformed RLE")
    return runs


def _parse_counts(texts: Sequence[str | bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Decodes run lengths of compressed RLEs: little-endian 5-bit digits, differences from the fourth on.

    Args:
        texts: The counts of M masks; at least one.

    Returns:
        The run lengths, mask after mask, and their number per mask, (M,); both int64.

    Raises:
        BrokenRecord: If a text is malformed.
    """
    encoded = [t.encode("utf-8", "surrogatepass") if isinstance(t, str) else t for t in texts]
    codes = np.frombuffer(b"".join(encoded), np.uint8) - np.uint8(48)
    sizes = np.array([len(text) for text in encoded])
    stops = sizes.cumsum()
    last = (codes & 32) == 0
    if sizes.min() == 0 or codes.max() > 63 or not last[stops - 1].all():
        raise BrokenRecord("malformed RLE")
    ends = np.flatnonzero(last) + 1
    digits = np.diff(ends, prepend=0)
    if digits.max() > _MOST_DIGITS:
        raise BrokenRecord("malformed RLE")
    place = np.arange(len(codes)) - np.repeat(ends - digits, digits)
    values = np.add.reduceat((codes & 31).astype(np.int64) << (_COUNT_BITS * place), ends - digits)
    values -= (codes[ends - 1] & 16 != 0).astype(np.int64) << (_COUNT_BITS * digits)
    per_mask = np.add.reduceat(last, stops - sizes, dtype=np.int64)
    return _add_up(values, per_mask), per_mask


def _add_up(values: np.ndarray, per_mask: np.ndarray) -> np.ndarray:
    """Adds to each of a mask's values from the fourth on the result for the value two before it."""
    firsts = per_mask.cumsum() - per_mask
    # Rows of two make even and odd positions columns, whose running sums are wanted per mask.
    rows = (per_mask + 1) // 2
    row_firsts = rows.cumsum() - rows
    place = np.arange(len(values)) + np.repeat(2 * row_firsts - firsts, per_mask)
    pairs = np.zeros((int(rows.sum()), 2), np.int64)
    pairs.ravel()[place] = values
    pairs[row_firsts, 0] = 0  # the first value is in no sum
    sums = pairs.cumsum(0)
    sums -= np.repeat(sums[row_firsts] - pairs[row_firsts], rows, axis=0)
    added = sums.ravel()[place]
    added[firsts] = values[firsts]
    return added


def runs_of_rle(rles: Sequence[Mapping], height: int, width: int) -> RunMasks:
    """Converts compressed RLEs of one image to runs, without making dense masks.

    Args:
        rles: Each with the key "counts".
        height: Of the image, in pixels.
        width: Of the image, in pixels.

    Raises:
        BrokenRecord: If one is malformed or of another size.
    """
    if not rles or not height * width:
        return RunMasks(torch.zeros(0, 3, dtype=torch.int32), torch.zeros(len(rles)).long(), (height, width))
    values, per_mask = _parse_counts([rle["counts"] for rle in rles])
    firsts = per_mask.cumsum() - per_mask
    if (values < 0).any() or (np.add.reduceat(values, firsts) != height * width).any():
        raise BrokenRecord("malformed RLE")
    inside = (np.arange(len(values)) - np.repeat(firsts, per_mask)) % 2 == 1
    # Every mask has all pixels of the image, so mask and column are one running number.
    ends = values.cumsum()[inside & (values > 0)]
    starts = ends - values[inside & (values > 0)]
    columns, tops = np.divmod(starts, height)
    last_columns, bottoms = np.divmod(ends - 1, height)
    spans = last_columns - columns + 1
    run = np.repeat(np.arange(len(spans)), spans)
    offset = np.arange(len(run)) - np.repeat(spans.cumsum() - spans, spans)
    mask, column = np.divmod(columns[run] + offset, width)
    top = np.where(offset == 0, tops[run], 0)
    bottom = np.where(offset == spans[run] - 1, bottoms[run] + 1, height)
    runs = np.stack([column, top, bottom], axis=1).astype(np.int32)
    counts = np.bincount(mask, minlength=len(rles))
    return RunMasks(torch.from_numpy(runs), torch.from_numpy(counts), (height, width))
