"""Draws labels in COCO format, from data sets or models, over their images."""

import logging
import os
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask

from detectron2.utils.visualizer import Visualizer
from solo_d2.structures.coco_masks import BrokenRecord, measure_segmentation, pack
from solo_d2.utils.errors import InputError
from solo_d2.utils.json_file import read_json
from solo_d2.utils.json_values import is_number

from .pictures import enlargement
from .sheets import make_sheet

logger = logging.getLogger(__name__)

_MIN_SIDE = 256  # pixels; smaller images are drawn enlarged, so that numbers do not cover the objects
_GAP = 4  # pixels between the pictures of a sheet
# Corners of the color cube that stand out in photographs; the labels of an image use them in turn.
_COLORS = (
    (0.9, 0.1, 0.3),
    (0.2, 0.9, 0.2),
    (0.2, 0.4, 1.0),
    (1.0, 0.8, 0.0),
    (0.8, 0.2, 1.0),
    (0.0, 0.9, 0.9),
)


@dataclass(frozen=True)
class LabelFile:
    """The part of a COCO file that pictures need.

    Attributes:
        images: Image records by file name.
        annotations: Annotations by image id.
    """

    images: Mapping[str, Mapping]
    annotations: Mapping[int, Sequence[Mapping]]

    def of(self, name: str) -> Sequence[Mapping]:
        """Returns the annotations of an image; an empty list if the file does not list it."""
        return self.annotations.get(self.images[name]["id"], ()) if name in self.images else ()


def read_labels(path: str | os.PathLike, names: Container[str] | None = None) -> LabelFile:
    """Reads a COCO file.

    Args:
        path: The file.
        names: File names of the images to keep in memory; None keeps all.

    Raises:
        InputError: If the file is not in COCO format.
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
    except KeyError as error:
        raise InputError(f"label file {path} is not in COCO format: {error} is missing") from None
    except TypeError as error:
        raise InputError(f"label file {path} is not in COCO format: {error}") from None
    return LabelFile(images, annotations)


def draw_labels(
    picture: np.ndarray,
    annotations: Iterable[Mapping],
    with_scores: bool = True,
    names: Mapping[int | str, str] | None = None,
) -> np.ndarray:
    """Draws masks, best score last, and their scores.

    Args:
        picture: RGB uint8 (H, W, 3).
        annotations: COCO annotations with polygons or RLE. Annotations without "score" get no number; those
            without a mask are not drawn; an unreadable mask gives a warning.
        with_scores: Whether to write scores.
        names: Class names by category id, which are written, too.

    Returns:
        RGB uint8 (k * H, k * W, 3); k enlarges pictures whose shorter side is below 256 pixels.
    """
    height, width = picture.shape[:2]
    ordered = sorted(_with_masks(annotations, height, width), key=lambda pair: _score_of(pair[0]) or 0.0)
    masks = [mask for _, mask in ordered]
    texts = [_text(one, with_scores, names or {}) for one, _ in ordered]
    visualizer = Visualizer(np.ascontiguousarray(picture), scale=enlargement(height, width, _MIN_SIDE))
    drawn = visualizer.overlay_instances(
        masks=np.stack(masks) if masks else None,
        labels=texts if texts and all(texts) else None,
        assigned_colors=[_COLORS[index % len(_COLORS)] for index in range(len(masks))],
    )
    return drawn.get_image()


def _text(annotation: Mapping, with_score: bool, names: Mapping[int | str, str]) -> str:
    """Returns what is written on a mask: class name, score, both, or nothing."""
    score = _score_of(annotation) if with_score else None
    words = [names.get(annotation.get("category_id", ""), ""), "" if score is None else f"{score:.2f}"]
    return " ".join(filter(None, words))


def draw_row(
    picture: np.ndarray,
    name: str,
    label_files: Sequence[LabelFile],
    threshold: float = 0.0,
    with_scores: bool = True,
) -> list[np.ndarray]:
    """Draws the image itself, then the image with the labels of each file.

    Args:
        picture: RGB uint8 (H, W, 3).
        name: The image's file name in the labels.
        label_files: Results of :func:`read_labels`.
        threshold: Minimum score to draw.
        with_scores: Writes scores.
    """
    row = [draw_labels(picture, [])]
    for labels in label_files:
        shown = [one for one in labels.of(name) if (score := _score_of(one)) is None or score >= threshold]
        row.append(draw_labels(picture, shown, with_scores))
    return row


def label_sheet(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Joins rows of :func:`draw_row` to one picture."""
    return make_sheet(rows, gap=_GAP, edge=_GAP)


def _with_masks(
    annotations: Iterable[Mapping], height: int, width: int
) -> Iterator[tuple[Mapping, np.ndarray]]:
    """Yields each annotation that has a mask with its mask, (height, width) uint8."""
    for one in annotations:
        if not one.get("segmentation"):
            continue
        try:
            checked = measure_segmentation(one["segmentation"], height, width).segmentation
        except BrokenRecord as reason:
            logger.warning("a label of image %s is not drawn: %s", one.get("image_id"), reason)
        else:
            yield one, coco_mask.decode(pack(checked, height, width))


def _score_of(annotation: Mapping) -> float | None:
    score = annotation.get("score")
    return score if is_number(score) else None
