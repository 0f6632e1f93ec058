"""A reader of COCO's JSON format."""

import contextlib
import io
import logging
import os

import pycocotools.mask as mask_util
from pycocotools.coco import COCO

from detectron2.structures import BoxMode
from detectron2.utils.file_io import PathManager

from ..catalog import DatasetCatalog, MetadataCatalog

logger = logging.getLogger(__name__)

_ANNOTATION_KEYS = ("iscrowd", "bbox", "keypoints", "category_id")
_MIN_POLYGON_NUMBERS = 6  # three points, x and y


def load_coco_json(
    json_file: str,
    image_root: str,
    dataset_name: str | None = None,
    extra_annotation_keys: list[str] | None = None,
) -> list[dict]:
    """Reads a COCO instances file.

    Args:
        json_file: Path of the JSON file.
        image_root: Folder of the images.
        dataset_name: If given, its metadata gets "thing_classes" and
            "thing_dataset_id_to_contiguous_id", and category ids are mapped to 0..n-1 in the order
            of the ids; otherwise ids stay as in the file.
        extra_annotation_keys: Further annotation keys to keep.

    Returns:
        One dict per image in the order of the image ids: file_name, height, width, image_id,
        annotations. A segmentation is a list of polygons or compressed RLE. Instances without a
        valid polygon are dropped; their number is logged.

    Raises:
        KeyError: An annotation has a category that the file does not list.
        ValueError: A box is empty.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(PathManager.get_local_path(json_file))
    id_map = _register_categories(coco, dataset_name) if dataset_name is not None else None

    image_ids = sorted(coco.imgs)
    annotation_ids = [ann["id"] for i in image_ids for ann in coco.imgToAnns.get(i, ())]
    assert len(set(annotation_ids)) == len(annotation_ids), f"Annotation ids in '{json_file}' are not unique!"
    logger.info(f"Loaded {len(image_ids)} images in COCO format from {json_file}")

    keys = (*_ANNOTATION_KEYS, *(extra_annotation_keys or ()))
    records, num_invalid = [], 0
    for image_id in image_ids:
        image = coco.imgs[image_id]
        annotations = coco.imgToAnns.get(image_id, [])
        objects = [_load_annotation(ann, keys, id_map) for ann in annotations]
        num_invalid += objects.count(None)
        records.append(
            {
                "file_name": os.path.join(image_root, image["file_name"]),
                "height": image["height"],
                "width": image["width"],
                "image_id": image_id,
                "annotations": [obj for obj in objects if obj is not None],
            }
        )
    if num_invalid:
        logger.warning(
            f"Filtered out {num_invalid} instances without valid segmentation in '{json_file}': "
            "none of their polygons has three points."
        )
    return records


def _register_categories(coco: COCO, dataset_name: str) -> dict[int, int]:
    """Stores the file's categories in the metadata; returns the map of dataset ids to contiguous ids."""
    ids = sorted(coco.cats)
    id_map = {id_: index for index, id_ in enumerate(ids)}
    metadata = MetadataCatalog.get(dataset_name)
    metadata.thing_classes = [coco.cats[id_]["name"] for id_ in ids]
    metadata.thing_dataset_id_to_contiguous_id = id_map
    if ids != list(range(1, len(ids) + 1)) and "coco" not in dataset_name:
        logger.warning(
            f"Category ids of '{dataset_name}' are not 1..{len(ids)}; mapping them in order to "
            f"0..{len(ids) - 1}."
        )
    return id_map


def _load_annotation(ann: dict, keys: tuple, id_map: dict[int, int] | None) -> dict | None:
    """Returns an annotation in the standard format; None if it has no valid polygon."""
    obj = {key: ann[key] for key in keys if key in ann}
    if "bbox" in obj and len(obj["bbox"]) == 0:
        raise ValueError(
            f"Annotation {ann.get('id')} of image {ann['image_id']} has an empty 'bbox'. "
            "Remove the annotation or give it a box [x, y, width, height]."
        )
    segmentation = ann.get("segmentation")
    if segmentation:
        if isinstance(segmentation, dict):
            if isinstance(segmentation["counts"], list):
                segmentation = mask_util.frPyObjects(segmentation, *segmentation["size"])
        else:
            segmentation = [p for p in segmentation if len(p) % 2 == 0 and len(p) >= _MIN_POLYGON_NUMBERS]
            if not segmentation:
                return None
        obj["segmentation"] = segmentation
    obj["bbox_mode"] = BoxMode.XYWH_ABS
    if id_map is not None:
        if obj["category_id"] not in id_map:
            raise KeyError(
                f"Encountered category_id={obj['category_id']} but this id does not exist in "
                "'categories' of the json file."
            )
        obj["category_id"] = id_map[obj["category_id"]]
    return obj


def register_coco_instances(name: str, metadata: dict, json_file: str, image_root: str) -> None:
    """Registers a dataset in COCO's instances format; loading it opens the files.

    Args:
        name: Name of the dataset.
        metadata: Further entries of its metadata.
        json_file: Path of the JSON file.
        image_root: Folder of the images.
    """
    assert isinstance(name, str), name
    assert isinstance(json_file, str | os.PathLike), json_file
    assert isinstance(image_root, str | os.PathLike), image_root
    DatasetCatalog.register(name, lambda: load_coco_json(json_file, image_root, name))
    MetadataCatalog.get(name).set(
        json_file=json_file, image_root=image_root, evaluator_type="coco", **metadata
    )
