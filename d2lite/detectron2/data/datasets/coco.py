"""COCO's JSON format: reading it into the standard dict format, and writing it."""

import contextlib
import datetime
import io
import json
import logging
import os

import numpy as np
import pycocotools.mask as mask_util
from iopath.common.file_io import file_lock
from pycocotools.coco import COCO

from detectron2.structures import Boxes, BoxMode, PolygonMasks
from detectron2.utils.file_io import PathManager

from ..catalog import DatasetCatalog, MetadataCatalog

logger = logging.getLogger(__name__)

_ANNOTATION_KEYS = ("iscrowd", "bbox", "keypoints", "category_id")
_MIN_POLYGON_NUMBERS = 6  # three points


def load_coco_json(
    json_file: str,
    image_root: str,
    dataset_name: str | None = None,
    extra_annotation_keys: list[str] | None = None,
) -> list[dict]:
    """Reads a COCO instances file.

    Args:
        json_file: path of the JSON.
        image_root: folder of the images.
        dataset_name: when given, "thing_classes" and "thing_dataset_id_to_contiguous_id" are put in
            its metadata and category ids are mapped to 0..n-1 in the order of the ids; otherwise
            they stay as they are in the file.
        extra_annotation_keys: more keys of an annotation to keep.

    Returns:
        One dict per image in the order of the image ids: file_name, height, width, image_id,
        annotations. A segmentation is a list of polygons or compressed RLE. Instances without any
        valid polygon are left out; their number is logged.

    Raises:
        KeyError: an annotation of a category that the file does not list.
        ValueError: an empty box.
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
    """Puts the file's categories in the metadata; returns dataset id -> contiguous id."""
    ids = sorted(coco.cats)
    id_map = {id_: index for index, id_ in enumerate(ids)}
    metadata = MetadataCatalog.get(dataset_name)
    metadata.thing_classes = [coco.cats[id_]["name"] for id_ in ids]
    metadata.thing_dataset_id_to_contiguous_id = id_map
    if ids != list(range(1, len(ids) + 1)) and "coco" not in dataset_name:
        logger.warning(
            f"Category ids of '{dataset_name}' are not 1..{len(ids)}; they are mapped to "
            f"0..{len(ids) - 1} in their order."
        )
    return id_map


def _load_annotation(ann: dict, keys: tuple, id_map: dict[int, int] | None) -> dict | None:
    """Returns an annotation in the standard format; None without a valid polygon."""
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
    """Registers a dataset in COCO's instances format. Files are opened when it is loaded.

    Args:
        name: the dataset's name.
        metadata: more entries for its metadata, may be empty.
        json_file: path of the JSON.
        image_root: folder of the images.
    """
    assert isinstance(name, str), name
    assert isinstance(json_file, str | os.PathLike), json_file
    assert isinstance(image_root, str | os.PathLike), image_root
    DatasetCatalog.register(name, lambda: load_coco_json(json_file, image_root, name))
    MetadataCatalog.get(name).set(
        json_file=json_file, image_root=image_root, evaluator_type="coco", **metadata
    )


def convert_to_coco_json(dataset_name: str, output_file: str, allow_cached: bool = True) -> None:
    """Writes a registered dataset as a COCO instances file.

    Args:
        dataset_name: a dataset in the standard dict format with "thing_classes" in its metadata.
        output_file: path of the JSON; its folder is made.
        allow_cached: keep a file that is there already.
    """
    PathManager.mkdirs(os.path.dirname(output_file))
    with file_lock(output_file):
        if PathManager.exists(output_file) and allow_cached:
            logger.warning(
                f"Using previously cached COCO format annotations at '{output_file}'. "
                "Delete the file if the dataset has changed."
            )
            return
        logger.info(f"Converting annotations of dataset '{dataset_name}' to COCO format ...")
        content = _to_coco_dict(dataset_name)
        partial = f"{output_file}.tmp"
        with PathManager.open(partial, "w") as f:
            json.dump(content, f)
        os.replace(partial, output_file)


def _to_coco_dict(dataset_name: str) -> dict:
    metadata = MetadataCatalog.get(dataset_name)
    id_map = metadata.get("thing_dataset_id_to_contiguous_id")
    contiguous_to_dataset = {v: k for k, v in id_map.items()} if id_map else None

    def dataset_id(category: int) -> int:
        return contiguous_to_dataset[category] if contiguous_to_dataset else category

    images, annotations = [], []
    for index, record in enumerate(DatasetCatalog.get(dataset_name)):
        image = {
            "id": record.get("image_id", index),
            "width": int(record["width"]),
            "height": int(record["height"]),
            "file_name": str(record["file_name"]),
        }
        images.append(image)
        for ann in record.get("annotations", []):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image["id"],
                    "iscrowd": int(ann.get("iscrowd", 0)),
                    "category_id": int(dataset_id(ann["category_id"])),
                    **_coco_geometry(ann),
                }
            )
    categories = [
        {"id": dataset_id(index), "name": name} for index, name in enumerate(metadata.thing_classes)
    ]
    return {
        "info": {
            "date_created": str(datetime.datetime.now()),
            "description": "Automatically generated COCO json file for Detectron2.",
        },
        "images": images,
        "categories": categories,
        "licenses": None,
        "annotations": annotations,
    }


def _coco_geometry(ann: dict) -> dict:
    """Returns "bbox" (x, y, w, h), "area" in pixels and, if there is one, "segmentation"."""
    xyxy = BoxMode.convert(list(ann["bbox"]), ann["bbox_mode"], BoxMode.XYXY_ABS)
    geometry = {
        "bbox": [round(float(x), 3) for x in BoxMode.convert(xyxy, BoxMode.XYXY_ABS, BoxMode.XYWH_ABS)]
    }
    segmentation = ann.get("segmentation")
    if segmentation is None:
        geometry["area"] = Boxes([xyxy]).area()[0].item()
    elif isinstance(segmentation, list):
        polygons = PolygonMasks([segmentation])
        geometry["area"] = polygons.area()[0].item()
        geometry["segmentation"] = [np.asarray(p).tolist() for p in segmentation]
    elif isinstance(segmentation, dict):
        if isinstance(segmentation["counts"], list):
            segmentation = mask_util.frPyObjects(segmentation, *segmentation["size"])
        counts = segmentation["counts"]
        geometry["area"] = mask_util.area(segmentation).item()
        geometry["segmentation"] = {
            "size": list(segmentation["size"]),
            "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts,
        }
    else:
        raise TypeError(f"Unknown segmentation type {type(segmentation)}!")
    return geometry
