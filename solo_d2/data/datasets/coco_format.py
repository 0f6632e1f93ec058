"""Registers anybody's COCO-format annotation file, checked and cleaned, as a Detectron2 data set."""

import logging
import os
from functools import partial
from pathlib import Path

import numpy as np

from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from detectron2.data.datasets import load_coco_json
from solo_d2.utils.errors import InputError
from solo_d2.utils.json_file import read_json, write_json

from .coco_cleaning import Findings, check_sections, clean_coco

logger = logging.getLogger(__name__)

DEFAULT_CACHE = "output/datasets"
# What annotations may have beside COCO's keys; see :class:`solo_d2.data.mappers.InstanceMapper`.
EXTRA_KEYS = ["embedding", "mask_withheld"]


def read_coco(
    json_file: str | os.PathLike, image_root: str | os.PathLike, boxes_only: bool = False
) -> tuple[dict, Findings]:
    """Reads and checks an annotation file, and logs what is wrong with it.

    Args:
        json_file: COCO instance annotations.
        image_root: folder that the file names in it are relative to.
        boxes_only: whether annotations may have boxes and no masks.

    Returns:
        The cleaned content, and what was skipped or mended.

    Raises:
        InputError: a path is wrong, the file is not COCO, or it holds nothing usable.
    """
    content = read_json(json_file, "annotation file")
    if not Path(image_root).is_dir():
        raise InputError(f"image folder {image_root} of {json_file} does not exist")
    cleaned, findings = clean_coco(content, json_file, image_root, boxes_only)
    findings.log(logger, json_file)
    return cleaned, findings


def read_annotations(json_file: str | os.PathLike) -> dict:
    """Reads an annotation file as it is, without its images.

    Raises:
        InputError: the file is missing or is not COCO.
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
) -> Metadata:
    """Reads, checks and registers an annotation file; a data set of the same name is replaced.

    Broken records are reported by count and first examples and skipped; fields that follow from the mask are
    filled in. When anything was changed, the cleaned file ``<cache_dir>/<name>.json`` is what is trained on
    and what evaluators read as ground truth.

    Args:
        name: of the data set.
        json_file: COCO instance annotations: polygons, compressed or uncompressed RLE, or a mixture.
        image_root: folder that the file names in it are relative to.
        cache_dir: where a cleaned copy goes.
        boxes_only: whether annotations may have boxes and no masks: enough to evaluate boxes.

    Returns:
        The metadata: ``thing_classes`` (by ascending category id), ``thing_dataset_id_to_contiguous_id``,
        ``json_file`` (the one to evaluate with), ``image_root``, ``evaluator_type`` "coco".

    Raises:
        InputError: a path is wrong, the file is not COCO, or it holds nothing usable.
    """
    cleaned, findings = read_coco(json_file, image_root, boxes_only)
    used = Path(json_file)
    if findings:
        used = Path(cache_dir) / f"{name}.json"
        write_json(used, cleaned)
        logger.warning("%s: training and evaluating with the cleaned copy %s", json_file, used)
    if name in DatasetCatalog:
        DatasetCatalog.remove(name)
    if name in MetadataCatalog:
        MetadataCatalog.remove(name)
    DatasetCatalog.register(name, partial(_load, name, used, image_root))
    categories = cleaned["categories"]
    return MetadataCatalog.get(name).set(
        json_file=str(used),
        image_root=str(image_root),
        evaluator_type="coco",
        thing_classes=[category["name"] for category in categories],
        thing_dataset_id_to_contiguous_id={
            category["id"]: index for index, category in enumerate(categories)
        },
    )


def _load(name: str, json_file: Path, image_root: str | os.PathLike) -> list[dict]:
    """Detectron2's records; embeddings as float32 arrays, which need a fraction of a list's memory."""
    records = load_coco_json(str(json_file), str(image_root), name, EXTRA_KEYS)
    for record in records:
        for annotation in record["annotations"]:
            if "embedding" in annotation:
                annotation["embedding"] = np.array(annotation["embedding"], np.float32)
    return records
