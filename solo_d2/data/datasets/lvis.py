"""Reads LVIS v0.5 and v1 files (Gupta et al., "LVIS", CVPR 2019) without the package lvis."""

import logging
from collections.abc import Collection, Sized
from pathlib import Path

from detectron2.data import MetadataCatalog
from detectron2.structures import BoxMode
from solo_d2.structures.coco_masks import is_near_image
from solo_d2.utils.errors import InputError
from solo_d2.utils.json_file import read_json
from solo_d2.utils.json_values import is_box, is_whole

from .usable_share import MAX_SKIPPED

logger = logging.getLogger(__name__)

_SMALLEST_POLYGON = 6  # numbers: three points


def load_lvis(json_file: str, image_root: str, name: str) -> list[dict]:
    """Reads an LVIS file and adds its classes to the metadata of ``name``.

    LVIS annotates COCO's images. A split of LVIS has images from several of COCO's folders; ``coco_url``
    names the folder.

    Args:
        json_file: LVIS annotations.
        image_root: Folder with COCO's ``train2017/`` and ``val2017/``.
        name: Name of the registered data set.

    Returns:
        Detectron2's records, ordered by image id, with ``neg_category_ids`` and
        ``not_exhaustive_category_ids`` (the file's ids) besides the usual keys.

    Raises:
        InputError: If the file is not in LVIS's format.
    """
    content = read_json(json_file, f"dataset {name}: annotation file")
    skipped = []
    try:
        categories = sorted(content["categories"], key=lambda category: category["id"])
        indices = {category["id"]: index for index, category in enumerate(categories)}
        records = {image["id"]: _record(image, image_root) for image in content["images"]}
        _check_ids(indices, categories)
        _check_ids(records, content["images"])
        annotations = content.get("annotations", [])  # a test split has none
        for annotation in annotations:
            record = records[annotation["image_id"]]
            instance = _instance(annotation, indices, record["height"], record["width"])
            if instance is None:
                skipped.append(annotation.get("id"))
            else:
                record["annotations"].append(instance)
        MetadataCatalog.get(name).set(
            thing_classes=[category["name"] for category in categories],
            thing_dataset_id_to_contiguous_id=indices,
        )
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise InputError(
            f"dataset {name}: {json_file} is no LVIS annotation file ({type(error).__name__}: {error}); "
            "download it again"
        ) from error
    if skipped:
        problem = (
            f"{json_file}: {len(skipped)} of {len(annotations)} annotations have no box, no polygon of three "
            f"points, or are far outside their images, such as annotation {skipped[0]}"
        )
        if len(skipped) > max(1, MAX_SKIPPED * len(annotations)):
            raise InputError(f"dataset {name}: {problem}; download it again")
        logger.warning("skipped: %s", problem)
    return [records[number] for number in sorted(records)]


def _check_ids(ids: Collection, records: Sized) -> None:
    """Raises ``ValueError`` if the ids of records are not whole numbers, or two are the same."""
    for number in ids:
        if not is_whole(number):
            raise ValueError(f"id {number!r}")
    if len(ids) != len(records):
        raise ValueError("an id is used twice")


def _record(image: dict, image_root: str) -> dict:
    folder, file_name = image["coco_url"].split("/")[-2:]
    return {
        "file_name": str(Path(image_root) / folder / file_name),
        "height": image["height"],
        "width": image["width"],
        "image_id": image["id"],
        "neg_category_ids": image.get("neg_category_ids", []),
        "not_exhaustive_category_ids": image.get("not_exhaustive_category_ids", []),
        "annotations": [],
    }


def _instance(annotation: dict, indices: dict[int, int], height: int, width: int) -> dict | None:
    """Converts one instance to Detectron2's format; None without a usable polygon or box."""
    polygons = [
        polygon
        for polygon in annotation["segmentation"]
        if len(polygon) >= _SMALLEST_POLYGON
        and len(polygon) % 2 == 0
        and is_near_image(polygon, height, width)
    ]
    if not polygons or not is_box(annotation["bbox"]):
        return None
    return {
        "bbox": annotation["bbox"],
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": indices[annotation["category_id"]],
        "segmentation": polygons,
    }
