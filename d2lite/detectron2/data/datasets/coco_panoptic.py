"""COCO's panoptic format, as stored ("standard") or as instances and a semantic map ("separated")."""

import json
import os

from detectron2.utils.file_io import PathManager

from ..catalog import DatasetCatalog, MetadataCatalog
from .coco import load_coco_json

_COMMON = {"evaluator_type": "coco_panoptic_seg", "ignore_label": 255}


def _load_panoptic_json(json_file: str, image_root: str, panoptic_root: str, metadata: dict) -> list[dict]:
    """Reads "segments_info" with contiguous category ids; an image is named like its PNG, as .jpg."""
    things = metadata["thing_dataset_id_to_contiguous_id"]
    stuff = metadata["stuff_dataset_id_to_contiguous_id"]

    def convert(segment: dict) -> dict:
        category = segment["category_id"]
        is_thing = category in things
        return {**segment, "category_id": (things if is_thing else stuff)[category], "isthing": is_thing}

    with PathManager.open(json_file) as f:
        annotations = json.load(f)["annotations"]
    records = [
        {
            "file_name": os.path.join(image_root, os.path.splitext(ann["file_name"])[0] + ".jpg"),
            "image_id": int(ann["image_id"]),
            "pan_seg_file_name": os.path.join(panoptic_root, ann["file_name"]),
            "segments_info": [convert(segment) for segment in ann["segments_info"]],
        }
        for ann in annotations
    ]
    assert records, f"No images found in {image_root}!"
    for key in ("file_name", "pan_seg_file_name"):
        assert PathManager.isfile(records[0][key]), records[0][key]
    return records


def _load_sem_seg(sem_seg_root: str, image_root: str) -> list[dict]:
    """Pairs .png label maps with .jpg images of the same name; files without a partner are skipped."""
    images = {os.path.splitext(f)[0] for f in PathManager.ls(image_root) if f.endswith("jpg")}
    maps = {os.path.splitext(f)[0] for f in PathManager.ls(sem_seg_root) if f.endswith("png")}
    assert maps, f"No annotations found in {sem_seg_root}."
    return [
        {
            "file_name": os.path.join(image_root, f"{stem}.jpg"),
            "sem_seg_file_name": os.path.join(sem_seg_root, f"{stem}.png"),
        }
        for stem in sorted(images & maps)
    ]


def register_coco_panoptic(
    name: str,
    metadata: dict,
    image_root: str,
    panoptic_root: str,
    panoptic_json: str,
    instances_json: str | None = None,
) -> None:
    """Registers a dataset with "pan_seg_file_name" and "segments_info".

    Args:
        name: Name of the dataset.
        metadata: Further entries of its metadata, with both "*_dataset_id_to_contiguous_id".
        image_root: Folder of the images.
        panoptic_root: Folder of the panoptic PNG files.
        panoptic_json: Path of the panoptic annotations.
        instances_json: Path of the instance annotations.
    """
    DatasetCatalog.register(
        name, lambda: _load_panoptic_json(panoptic_json, image_root, panoptic_root, metadata)
    )
    MetadataCatalog.get(name).set(
        panoptic_root=panoptic_root,
        image_root=image_root,
        panoptic_json=panoptic_json,
        json_file=instances_json,
        label_divisor=1000,
        **_COMMON,
        **metadata,
    )


def register_coco_panoptic_separated(
    name: str,
    metadata: dict,
    image_root: str,
    panoptic_root: str,
    panoptic_json: str,
    sem_seg_root: str,
    instances_json: str,
) -> None:
    """Registers ``<name>_separated``, instances and semantic maps, and ``<name>_stuffonly``, the maps.

    Args:
        name: Name of the dataset.
        metadata: Further entries of its metadata.
        image_root: Folder of the images.
        panoptic_root: Folder of the panoptic PNG files.
        panoptic_json: Path of the panoptic annotations.
        sem_seg_root: Folder of the semantic maps: 0 for things, stuff from 1, 255 for void.
        instances_json: Path of the instance annotations.
    """

    def load() -> list[dict]:
        maps = {x["file_name"]: x for x in _load_sem_seg(sem_seg_root, image_root)}
        instances = load_coco_json(instances_json, image_root, f"{name}_separated")
        return [{**x, **maps[x["file_name"]]} for x in instances]

    DatasetCatalog.register(f"{name}_separated", load)
    MetadataCatalog.get(f"{name}_separated").set(
        panoptic_root=panoptic_root,
        image_root=image_root,
        panoptic_json=panoptic_json,
        sem_seg_root=sem_seg_root,
        json_file=instances_json,
        **_COMMON,
        **metadata,
    )
    DatasetCatalog.register(f"{name}_stuffonly", lambda: _load_sem_seg(sem_seg_root, image_root))
    stuff_only = {**_COMMON, "evaluator_type": "sem_seg"}
    MetadataCatalog.get(f"{name}_stuffonly").set(
        sem_seg_root=sem_seg_root, image_root=image_root, **stuff_only, **metadata
    )
