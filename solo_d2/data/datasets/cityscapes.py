"""Converts Cityscapes' fine annotations (Cordts et al., CVPR 2016) to COCO, without cityscapesscripts.

The input is the 16-bit ``*_gtFine_instanceIds.png``. A pixel is 1000 * label + number of the instance, or
only the label for stuff and for a group of things that could not be separated.
"""

import logging
import os
from functools import partial
from pathlib import Path

import numpy as np

from solo_d2.data.image_paths import is_image_name
from solo_d2.structures.coco_masks import mask_fields
from solo_d2.utils.errors import InputError
from solo_d2.utils.image_file import UnreadableImage, open_image
from solo_d2.utils.json_file import write_json
from solo_d2.utils.parallel import map_in_processes

logger = logging.getLogger(__name__)

# The eight things that Cityscapes evaluates, by label id; caravan and trailer (29, 30) are not.
CITYSCAPES_NAMES = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
CITYSCAPES_IDS = (24, 25, 26, 27, 28, 31, 32, 33)
_INSTANCE_FACTOR = 1000
_LABEL_SUFFIX = "_gtFine_instanceIds.png"
_IMAGE_SUFFIX = "_leftImg8bit.png"
_GRAYS = ("L", "I", "I;16")  # Pillow's modes of 8, 32 and 16 bits
_CHUNK = 16  # images sent to a worker process at a time


def convert_cityscapes(root: str | os.PathLike, split: str, workers: int | None = None) -> Path:
    """Writes ``annotations/instances_<split>.json`` below ``root`` atomically.

    Args:
        root: Folder with Cityscapes' ``gtFine/`` and ``leftImg8bit/``.
        split: "train" or "val" (the test labels are not public).
        workers: Number of processes; by default one per core.

    Returns:
        The file. Its image file names are relative to ``leftImg8bit/<split>``; its category ids are
        Cityscapes' label ids; groups are ``iscrowd``.

    Raises:
        InputError: If a folder or an image is missing, or a label file cannot be read.
    """
    root = Path(root)
    images, labels = root / "leftImg8bit" / split, root / "gtFine" / split
    files = sorted(path for path in labels.glob(f"*/*{_LABEL_SUFFIX}") if is_image_name(path.name))
    if not files:
        raise InputError(
            f"{labels} holds no */*{_LABEL_SUFFIX}: unpack Cityscapes' gtFine_trainvaltest.zip into {root}"
        )
    convert = partial(_convert_image, images)
    listed: list[dict] = []
    annotations: list[dict] = []
    converted = map_in_processes(convert, files, workers, _CHUNK)
    for image_id, (image, found) in enumerate(converted, start=1):
        listed.append({"id": image_id, **image})
        for annotation in found:
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, **annotation})
    content = {
        "info": {"description": f"Cityscapes fine, {split}"},
        "images": listed,
        "annotations": annotations,
        "categories": [
            {"id": number, "name": name}
            for number, name in zip(CITYSCAPES_IDS, CITYSCAPES_NAMES, strict=True)
        ],
    }
    path = root / "annotations" / f"instances_{split}.json"
    write_json(path, content)
    logger.info("%s: %d images, %d instances", path, len(listed), len(annotations))
    return path


def _convert_image(images: Path, labels: Path) -> tuple[dict, list[dict]]:
    """Converts one label file to COCO image and annotation records without ids."""
    name = f"{labels.parent.name}/{labels.name.removesuffix(_LABEL_SUFFIX)}{_IMAGE_SUFFIX}"
    if not (images / name).is_file():
        raise InputError(f"{images / name} is missing: unpack leftImg8bit_trainvaltest.zip next to gtFine/")
    ids = _read_labels(labels)
    image = {"file_name": name, "height": ids.shape[0], "width": ids.shape[1]}
    return image, read_instances(ids)


def _read_labels(path: Path) -> np.ndarray:
    """Reads a label image as (H, W) integers."""
    try:
        with open_image(path) as picture:
            if picture.mode not in _GRAYS:
                raise ValueError(f"its pixels are {picture.mode}, not numbers")
            return np.asarray(picture)
    except UnreadableImage as error:
        raise InputError(f"{error}: unpack gtFine_trainvaltest.zip again") from error


def read_instances(ids: np.ndarray) -> list[dict]:
    """Converts one label image to COCO annotations without ids.

    Args:
        ids: (H, W) integers as in ``*_gtFine_instanceIds.png``.

    Returns:
        One entry per instance or group, by ascending id.
    """
    annotations = []
    for number in np.unique(ids).tolist():
        is_group = number < _INSTANCE_FACTOR
        label = number if is_group else number // _INSTANCE_FACTOR
        if label not in CITYSCAPES_IDS:
            continue
        annotations.append({"category_id": label, "iscrowd": int(is_group), **mask_fields(ids == number)})
    return annotations
