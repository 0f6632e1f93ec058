"""Registers custom COCO-format annotation files, checked and cleaned, as Detectron2 data sets."""

import logging
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from detectron2.structures import BoxMode
from solo_d2.structures.coco_masks import pack
from solo_d2.utils.errors import InputError
from solo_d2.utils.json_file import is_plain_utf8, read_json, write_json

from .catalogs import DEFAULT_CACHE, forget_dataset
from .coco_cache import check_once
from .coco_cleaning import Findings, check_sections, clean_categories, clean_coco, id_order
from .numbering import original_id, renumber
from .usable_share import MAX_SKIPPED, check_learnable

logger = logging.getLogger(__name__)

# Annotation fields that records keep unchanged; see :class:`solo_d2.data.mappers.InstanceMapper`.
_KEYS = ("iscrowd", "bbox", "keypoints", "mask_withheld")


def read_coco(
    json_file: str | os.PathLike,
    image_root: str | os.PathLike,
    boxes_only: bool = False,
    max_skipped: float = 1.0,
) -> tuple[dict, Findings]:
    """Reads and checks an annotation file, and logs its problems.

    Args:
        json_file: COCO instance annotations.
        image_root: Folder that the file names in it are relative to.
        boxes_only: Whether annotations may have boxes and no masks.
        max_skipped: Greatest share of the images, and of the annotations, that may be skipped.

    Returns:
        The cleaned content, and the skipped or fixed records.

    Raises:
        InputError: A path is wrong, the file is not COCO, or it holds nothing usable, or too little.
    """
    cleaned, findings = _read_checked(json_file, image_root, boxes_only, max_skipped)
    findings.log(logger, json_file)
    return cleaned, findings


def _read_checked(
    json_file: str | os.PathLike, image_root: str | os.PathLike, boxes_only: bool, max_skipped: float
) -> tuple[dict, Findings]:
    content = read_json(json_file, "annotation file")
    if not Path(image_root).is_dir():
        raise InputError(f"image folder {image_root} of {json_file} does not exist")
    return clean_coco(content, json_file, image_root, boxes_only, max_skipped)


def read_annotations(json_file: str | os.PathLike) -> dict:
    """Reads an annotation file without cleaning it or reading its images.

    Raises:
        InputError: If the file is missing or not in COCO format.
    """
    content = read_json(json_file, "annotation file")
    check_sections(content, json_file)
    return content


def register_coco_format(
    name: str,
    json_file: str | os.PathLike,
    image_root: str | os.PathLike,
    cache_dir: str | os.PathLike = DEFAULT_CACHE,
    boxes_only: bool = False,
    max_skipped: float = MAX_SKIPPED,
    for_training: bool = False,
    classes: Sequence[str] | None = None,
) -> Metadata:
    """Reads, checks and registers an annotation file; a data set of the same name is replaced.

    Broken records are skipped and reported by count and first examples; fields that follow from the mask are
    filled in. After any change, or if the file is not plain UTF-8, training and evaluators use the cleaned
    file ``<cache_dir>/<name>.json``. Large files are checked once, see :func:`check_once`.

    Args:
        name: Name of the data set.
        json_file: COCO instance annotations: polygons, compressed or uncompressed RLE, or a mixture.
        image_root: Folder that the file names in it are relative to.
        cache_dir: Folder of the cleaned copy and of ``<name>.cache``.
        boxes_only: Whether annotations may have boxes without masks, which suffices to evaluate boxes.
        max_skipped: Greatest share of the images, and of the annotations, that may be skipped.
        for_training: Whether the set must have an object to learn.
        classes: Class names of the model; the file's classes become these, see :func:`match_by_name`.

    Returns:
        The metadata: ``thing_classes`` (by ascending category id), ``thing_dataset_id_to_contiguous_id``,
        ``json_file`` (the one to evaluate with), ``image_root``, ``evaluator_type`` "coco", and
        ``original_ids`` where images or categories were renumbered, see :func:`renumber`.

    Raises:
        InputError: A path is wrong, the file is not COCO, it holds nothing usable, or too little, or its
            classes are not the model's.
    """
    cleaned, findings = check_once(
        json_file,
        image_root,
        [boxes_only, max_skipped],
        Path(cache_dir) / f"{name}.cache",
        partial(_read_checked, json_file, image_root, boxes_only, max_skipped),
    )
    findings.log(logger, json_file)
    if for_training:
        check_learnable(cleaned, json_file)
    cleaned, original_ids = renumber(cleaned, json_file, classes)
    used = Path(json_file)
    if findings or original_ids or not is_plain_utf8(json_file):
        used = write_cleaned(cleaned, json_file, Path(cache_dir) / f"{name}.json")
    forget_dataset(name)
    DatasetCatalog.register(name, _CocoRecords(cleaned, used, image_root))
    metadata = MetadataCatalog.get(name).set(
        json_file=str(used), image_root=str(image_root), evaluator_type="coco", **_classes(cleaned)
    )
    return metadata.set(original_ids=original_ids) if original_ids else metadata


def write_cleaned(content: dict, source: str | os.PathLike, path: Path) -> Path:
    """Writes the cleaned copy of an annotation file, logs that it is used, and returns its path."""
    write_json(path, content)
    logger.warning("%s: training and evaluating with the cleaned copy %s", source, path)
    return path


def read_classes(json_file: str | os.PathLike) -> dict:
    """Reads the classes that a model trained on an annotation file has, without the rest of the file.

    Returns:
        ``thing_classes`` and ``thing_dataset_id_to_contiguous_id``; the ids are the file's.

    Raises:
        InputError: The file is missing or lists no usable category.
    """
    content = read_json(json_file, "annotation file")
    records = content.get("categories") if isinstance(content, dict) else None
    categories = clean_categories(records, Findings()) if isinstance(records, list) else []
    if not categories:
        raise InputError(f"{json_file} has no usable category: list the classes under 'categories'")
    return {
        "thing_classes": [category["name"] for category in categories],
        "thing_dataset_id_to_contiguous_id": {original_id(c): index for index, c in enumerate(categories)},
    }


def _classes(content: Mapping) -> dict:
    """Metadata of a cleaned annotation set's classes."""
    return {
        "thing_classes": [category["name"] for category in content["categories"]],
        "thing_dataset_id_to_contiguous_id": _numbering(content),
    }


class _CocoRecords:
    """Returns a data set's records when called.

    The first call uses the content that registration has read, so training reads its file once; later calls
    read the cleaned file.
    """

    def __init__(self, content: dict, json_file: Path, image_root: str | os.PathLike):
        self._content: dict | None = content
        self._json_file = json_file
        self._image_root = image_root

    def __call__(self) -> list[dict]:
        content, self._content = self._content, None
        if content is None:
            content = read_json(self._json_file, "annotation file")
        return coco_records(content, self._image_root)


def coco_records(content: Mapping, image_root: str | os.PathLike) -> list[dict]:
    """Converts a cleaned annotation set to Detectron2's records, ordered by image id.

    Args:
        content: Result of :func:`clean_coco`; not changed, but its lists are used.
        image_root: Folder that the file names are relative to.

    Returns:
        A record per image; embeddings are float32 arrays, which need less memory than lists.
    """
    numbering = _numbering(content)
    annotations = defaultdict(list)
    for annotation in content.get("annotations", ()):
        annotations[annotation["image_id"]].append(_instance(annotation, numbering))
    images = sorted(content["images"], key=lambda image: id_order(image["id"]))
    return [
        {
            "file_name": os.path.join(image_root, image["file_name"]),
            "height": image["height"],
            "width": image["width"],
            "image_id": image["id"],
            "annotations": annotations.pop(image["id"], []),
        }
        for image in images
    ]


def _numbering(content: Mapping) -> dict[int | str, int]:
    """Returns the class of each category id; classes are in the order of the ids."""
    ids = sorted((category["id"] for category in content["categories"]), key=id_order)
    return {number: index for index, number in enumerate(ids)}


def _instance(annotation: Mapping, numbering: Mapping[int | str, int]) -> dict:
    """Converts one annotation to Detectron2's format."""
    instance = {key: annotation[key] for key in _KEYS if key in annotation}
    instance["bbox_mode"] = BoxMode.XYWH_ABS
    instance["category_id"] = numbering[annotation["category_id"]]
    segmentation = annotation["segmentation"]
    if segmentation:
        instance["segmentation"] = segmentation
    if isinstance(segmentation, dict):
        instance["segmentation"] = pack(segmentation, *segmentation["size"])
    if "embedding" in annotation:
        instance["embedding"] = np.array(annotation["embedding"], np.float32)
    return instance
