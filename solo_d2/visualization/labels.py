"""Pseudo-labels drawn over their images."""

import logging
import math
import os
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from detectron2.utils.visualizer import Visualizer
from solo_d2.data.analysis.statistics import pack
from solo_d2.data.datasets.coco_masks import BrokenRecord, is_number, measure_segmentation
from solo_d2.utils.atomic_file import atomic_write
from solo_d2.utils.errors import InputError
from solo_d2.utils.json_file import read_json

logger = logging.getLogger(__name__)

# Smaller images are drawn enlarged, so that numbers do not cover the objects.
_MIN_SIDE = 256
_GAP = 4
_JPEG_QUALITY = 85
# Corners of the colour cube that stand out from photographs; labels of an image take them in turn.
_COLORS = (
    (0.9, 0.1, 0.3),
    (0.2, 0.9, 0.2),
    (0.2, 0.4, 1.0),
    (1.0, 0.8, 0.0),
    (0.8, 0.2, 1.0),
    (0.0, 0.9, 0.9),
)


def read_labels(
    path: str | os.PathLike, names: Container[str] | None = None
) -> tuple[dict[str, dict], dict[int, list[dict]]]:
    """Reads a COCO file.

    Args:
        path: the file.
        names: file names of the images that are wanted; the others are not kept in memory.

    Returns:
        Image records by file name, and the annotations of each image id.

    Raises:
        InputError: if it cannot be read as COCO.
    """
    content = read_json(path, "label file")
    try:
        listed = {image["file_name"]: image for image in content["images"]}
        images = {name: image for name, image in listed.items() if names is None or name in names}
        ids = {image["id"] for image in images.values()}
        annotations = defaultdict(list)
        for annotation in content["annotations"]:
            if annotation["image_id"] in ids:
                annotations[annotation["image_id"]].append(annotation)
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read as COCO labels: {error}") from None
    return images, annotations


def draw_labels(picture: np.ndarray, annotations: Sequence[Mapping], with_scores: bool = True) -> np.ndarray:
    """Draws masks, best score last, and their scores.

    Args:
        picture: RGB uint8 (H, W, 3).
        annotations: COCO annotations, polygons or RLE; where one has no "score" none is written. What has no
            mask is not drawn; if the mask cannot be read, a warning says so.
        with_scores: whether scores are written.

    Returns:
        RGB uint8 (k * H, k * W, 3) with k such that the shorter side is at least 256.
    """
    scale = math.ceil(_MIN_SIDE / min(picture.shape[:2]))
    ordered = sorted(_with_masks(annotations, *picture.shape[:2]), key=lambda pair: pair[0] or 0.0)
    scores, masks = [score for score, _ in ordered], [mask for _, mask in ordered]
    shown = with_scores and None not in scores
    visualizer = Visualizer(np.ascontiguousarray(picture), scale=scale)
    drawn = visualizer.overlay_instances(
        masks=np.stack(masks) if masks else None,
        labels=[f"{score:.2f}" for score in scores] if shown and masks else None,
        assigned_colors=[_COLORS[index % len(_COLORS)] for index in range(len(masks))],
    )
    return drawn.get_image()


def _with_masks(
    annotations: Iterable[Mapping], height: int, width: int
) -> Iterator[tuple[float | None, np.ndarray]]:
    """Score and mask, (height, width) uint8, of each annotation that has a mask."""
    for one in annotations:
        if not one.get("segmentation"):
            continue
        try:
            checked = measure_segmentation(one["segmentation"], height, width).segmentation
        except BrokenRecord as reason:
            logger.warning("a label of image %s is not drawn: %s", one.get("image_id"), reason)
        else:
            yield _score_of(one), coco_mask.decode(pack(checked, height, width))


def _score_of(annotation: Mapping) -> float | None:
    score = annotation.get("score")
    return score if is_number(score) else None


def draw_row(
    picture: np.ndarray,
    name: str,
    label_files: Sequence[tuple[dict[str, dict], dict[int, list[dict]]]],
    threshold: float = 0.0,
    with_scores: bool = True,
) -> list[np.ndarray]:
    """An image as it is, then with the labels that each file has for it.

    Args:
        picture: RGB uint8 (H, W, 3).
        name: its file name in the labels.
        label_files: of :func:`read_labels`.
        threshold: lowest score drawn.
        with_scores: whether scores are written.
    """
    row = [draw_labels(picture, [])]
    for images, annotations in label_files:
        found = annotations.get(images[name]["id"], []) if name in images else []
        shown = [one for one in found if (score := _score_of(one)) is None or score >= threshold]
        row.append(draw_labels(picture, shown, with_scores))
    return row


def make_sheet(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Puts pictures, RGB uint8 of any size, into a table; cells of a row and of a column share a size."""
    heights = [max(cell.shape[0] for cell in row) for row in rows]
    widths = [max(row[column].shape[1] for row in rows) for column in range(len(rows[0]))]
    sheet = np.full((sum(heights) + _GAP * len(heights), sum(widths) + _GAP * len(widths), 3), 255, np.uint8)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        left = 0
        for cell, width in zip(row, widths, strict=True):
            sheet[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
            left += width + _GAP
        top += height + _GAP
    return sheet


def shrink(picture: np.ndarray, side: int) -> np.ndarray:
    """RGB uint8 (H, W, 3), made smaller where its longer side is more than ``side`` pixels."""
    small = Image.fromarray(picture)
    small.thumbnail((side, side))
    return np.asarray(small)


def save_picture(picture: np.ndarray, path: str | os.PathLike) -> None:
    """Writes RGB uint8 as JPEG, whole or not at all."""
    path = Path(path)
    with atomic_write(path) as temporary:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(temporary, format="JPEG", quality=_JPEG_QUALITY)
