"""Transforms annotated masks like their image and converts them to runs, mostly without dense masks.

N: masks; H, W: size of the transformed image; h, w: of the original one.
"""

from collections.abc import Sequence

import numpy as np
import torch
from pycocotools import mask as coco_mask

from detectron2.data import transforms as T
from solo_d2.structures import RunMasks
from solo_d2.structures.coco_masks import pack, runs_of_rle
from solo_d2.utils.errors import InputError

# At most this many RLEs are decoded and transformed one by one; more are worth finding each pixel's source.
_FEW = 6


def transform_masks(
    segmentations: Sequence[list | dict], transforms: T.TransformList, size: tuple[int, int]
) -> RunMasks:
    """Transforms masks as Detectron2's functions do, pixel by pixel the same.

    Args:
        segmentations: N of COCO's: polygons in pixels, or RLE at the original size.
        transforms: Those of the image.
        size: H and W.

    Raises:
        ValueError: If one is of another kind, or malformed.
        AssertionError: If an RLE has another size than the image.
    """
    polygons = {i: s for i, s in enumerate(segmentations) if isinstance(s, list)}
    packed = {i: s for i, s in enumerate(segmentations) if isinstance(s, dict)}
    if len(polygons) + len(packed) < len(segmentations):
        raise ValueError("a segmentation is neither polygons nor RLE")
    parts = [
        _rasterize(_move_polygons(list(polygons.values()), transforms), size),
        _move_rles(list(packed.values()), transforms, size),
    ]
    order = torch.tensor([*polygons, *packed], dtype=torch.int64).argsort()
    return RunMasks.join(parts)[order]


def _move_polygons(objects: Sequence[list], transforms: T.TransformList) -> list[list[np.ndarray]]:
    """Returns the transformed polygons of each object, x, y, x, y, ... each.

    Raises:
        InputError: The package that crops polygons is not installed.
    """
    points = [[np.array(p, np.float64).reshape(-1, 2) for p in polygons] for polygons in objects]
    if any(type(t).apply_polygons is not T.Transform.apply_polygons for t in transforms.transforms):
        try:
            return [[p.ravel() for p in transforms.apply_polygons(polygons)] for polygons in points]
        except ModuleNotFoundError as error:
            raise InputError(
                f'crops of polygons need {error.name}: pip install "solo_d2[crop]", or switch INPUT.CROP and '
                "INPUT.SCALE_JITTER off"
            ) from error
    lengths = [len(p) for polygons in points for p in polygons]
    if not lengths:
        return [[] for _ in objects]
    # Each point moves for itself, so all of them move at once.
    moved = transforms.apply_coords(np.concatenate([p for polygons in points for p in polygons]))
    pieces = iter(np.split(moved, np.cumsum(lengths)[:-1]))
    return [[next(pieces).ravel() for _ in polygons] for polygons in points]


def _rasterize(objects: Sequence[list[np.ndarray]], size: tuple[int, int]) -> RunMasks:
    empty = coco_mask.frPyObjects({"size": list(size), "counts": [size[0] * size[1]]}, *size)
    return runs_of_rle([pack(polygons, *size) if polygons else empty for polygons in objects], *size)


def _move_rles(rles: Sequence[dict], transforms: T.TransformList, size: tuple[int, int]) -> RunMasks:
    sizes = {tuple(rle["size"]) for rle in rles}
    if len(rles) > _FEW and len(sizes) == 1:
        height, width = sizes.pop()
        sources = _find_sources(height, width, transforms, size)
        if sources is not None:
            return _resample(runs_of_rle([pack(r, height, width) for r in rles], height, width), *sources)
    encoded = []
    for rle in rles:
        mask = transforms.apply_segmentation(coco_mask.decode(pack(rle, *rle["size"])))
        assert mask.shape == tuple(size), f"The RLE mask is {mask.shape} after the transforms, not {size}."
        encoded.append(coco_mask.encode(np.asfortranarray(mask, np.uint8)))
    return runs_of_rle(encoded, *size)


def _find_sources(
    height: int, width: int, transforms: T.TransformList, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Finds the original row of each row, (H,), and column of each column, (W,), of transformed masks.

    Returns None if transforms do more to a mask than to take whole rows and columns of it in ascending or
    descending order: then nothing but the transforms themselves can tell the result.
    """
    plane = np.zeros((height, width), np.uint8)
    kept = [transforms.apply_segmentation(plane + value) for value in (0, 1)]
    if kept[0].shape != tuple(size) or kept[0].any() or not kept[1].all():
        return None
    sources = []
    for axis, length in enumerate((height, width)):
        # Indices as two planes of bytes: transforms treat other types differently.
        index = np.arange(length).reshape((-1, 1) if axis == 0 else (1, -1))
        low, high = (
            transforms.apply_segmentation((plane + part).astype(np.uint8)).astype(np.int64)
            for part in (index & 255, index >> 8)
        )
        found = low + (high << 8)
        line = found[:, 0] if axis == 0 else found[0]
        steps = np.sign(np.diff(line))
        if (found != (line[:, None] if axis == 0 else line)).any() or {-1, 1} <= set(steps.tolist()):
            return None
        sources.append(line)
    return sources[0], sources[1]


def _resample(masks: RunMasks, rows: np.ndarray, columns: np.ndarray) -> RunMasks:
    """Returns the masks whose rows and columns are these of the given ones."""
    column, top, bottom = masks.runs.numpy().T
    first_column, end_column = _find_range(columns, column, column + 1)
    first_row, end_row = _find_range(rows, top, bottom)
    copies = np.where(end_row > first_row, end_column - first_column, 0)
    run = np.repeat(np.arange(len(copies)), copies)
    offset = np.arange(len(run)) - np.repeat(copies.cumsum() - copies, copies)
    runs = np.stack([first_column[run] + offset, first_row[run], end_row[run]], axis=1).astype(np.int32)
    owner = np.repeat(np.arange(len(masks)), masks.counts.numpy())
    counts = np.bincount(owner[run], minlength=len(masks))
    return RunMasks(torch.from_numpy(runs), torch.from_numpy(counts), (len(rows), len(columns)))


def _find_range(line: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first and one past the last place of a sorted line with values in [low, high)."""
    if len(line) and line[0] > line[-1]:
        first, end = _find_range(line[::-1], low, high)
        return len(line) - end, len(line) - first
    return np.searchsorted(line, low), np.searchsorted(line, high)
