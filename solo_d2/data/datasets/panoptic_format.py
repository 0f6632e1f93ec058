"""Registers panoptic annotation sets in COCO's format: things and stuff from one JSON and its PNG files.

Things are numbered from 0 and stuff from 1, as in Detectron2's "separated" data sets: label 0 of the semantic
map means all things. Unlike there, instances come from the PNG files, so they never overlap, and neither
semantic maps nor instance annotations are needed.
"""

import itertools
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from detectron2.structures import BoxMode
from solo_d2.utils.errors import InputError

from .catalogs import DEFAULT_CACHE, forget_dataset
from .coco_cleaning import Findings, no_image_line
from .coco_format import write_cleaned
from .numbering import match_by_name
from .panoptic_checks import read_panoptic_json
from .panoptic_cleaning import clean_panoptic, clean_panoptic_categories, segments_of
from .usable_share import MAX_SKIPPED, check_share

logger = logging.getLogger(__name__)

# Detectron2's name of the semantic map's class 0.
THINGS_NAME = "things"
THINGS_COLOR = [82, 18, 128]
IGNORE_LABEL = 255
ImagePath = Callable[[Mapping], str]
"""Maps an entry of the JSON's "images" to a path below the image folder."""


def panoptic_classes(
    categories: Iterable[Mapping], trained: Metadata | None = None, source: str | os.PathLike = "the data set"
) -> dict:
    """Returns class names, colors and numbering for a data set's metadata.

    Args:
        categories: Dicts with "id", "name", "isthing" and perhaps "color" (RGB, 0 to 255).
        trained: Classes of the model, which the set's are matched with, see :func:`match_by_name`.
        source: Where the categories come from, for messages.

    Returns:
        See :func:`number_classes`; classes are in the order of their ids by default. ``absent_ids`` stand for
        classes of the model that the set lacks, if there are any.

    Raises:
        InputError: The set has other classes than the model.
    """
    ordered = sorted(categories, key=lambda category: category["id"])
    things = [category for category in ordered if category["isthing"]]
    stuff = [category for category in ordered if not category["isthing"]]
    if trained is None:
        return number_classes(things, stuff)
    free = itertools.count(ordered[-1]["id"] + 1)
    things = _in_order(things, trained.get("thing_classes") or [], free, source)
    stuff = _in_order(stuff, (trained.get("stuff_classes") or [])[1:], free, source)
    own = {category["id"] for category in ordered}
    absent = [category["id"] for category in (*things, *stuff) if category["id"] not in own]
    return number_classes(things, stuff) | ({"absent_ids": absent} if absent else {})


def _in_order(
    categories: list[Mapping], names: Sequence[str], free: Iterator[int], source: str | os.PathLike
) -> list[Mapping]:
    """Returns the categories of these names, in their order; those that are lacking get free ids."""
    if not match_by_name([category["name"] for category in categories], names, source):
        return categories
    by_name = {category["name"]: category for category in categories}
    return [by_name.get(name) or {"id": next(free), "name": name} for name in names]


def number_classes(things: Sequence[Mapping], stuff: Sequence[Mapping]) -> dict:
    """Numbers categories in the given order.

    Args:
        things: Dicts with "id", "name" and perhaps "color".
        stuff: Likewise.

    Returns:
        ``thing_classes``, ``stuff_classes`` (class 0 is "things"), ``*_dataset_id_to_contiguous_id``, and
        ``*_colors`` where every category has one.
    """
    ids = {category["id"] for category in (*things, *stuff)}
    # The map must be invertible, so class 0 needs an unused id.
    free_id = 0 if 0 not in ids else max(number for number in ids if isinstance(number, int)) + 1
    metadata = {
        "thing_classes": [category["name"] for category in things],
        "stuff_classes": [THINGS_NAME, *(category["name"] for category in stuff)],
        "thing_dataset_id_to_contiguous_id": {c["id"]: i for i, c in enumerate(things)},
        "stuff_dataset_id_to_contiguous_id": {free_id: 0, **{c["id"]: i for i, c in enumerate(stuff, 1)}},
    }
    if all("color" in category for category in (*things, *stuff)):
        metadata["thing_colors"] = [list(category["color"]) for category in things]
        metadata["stuff_colors"] = [THINGS_COLOR, *(list(category["color"]) for category in stuff)]
    return metadata


def register_panoptic_format(
    name: str,
    json_file: str | os.PathLike,
    panoptic_root: str | os.PathLike,
    image_root: str | os.PathLike,
    trained: Metadata | None = None,
    cache_dir: str | os.PathLike = DEFAULT_CACHE,
    max_skipped: float = MAX_SKIPPED,
) -> Metadata:
    """Reads, checks and registers a panoptic annotation set; a data set of the same name is replaced.

    Broken records and what depends on them are skipped, and reported by count and first examples. After any
    change, training and evaluation use the cleaned file ``<cache_dir>/<name>.json``. Of pictures only the
    headers are read; ``solo-d2 data check-panoptic`` reads the pixels.

    Args:
        name: Of the data set.
        json_file: COCO panoptic annotations.
        panoptic_root: Folder of their PNG files.
        image_root: Folder of the images.
        trained: Classes of the model, with which the set's are matched by name.
        cache_dir: Folder of the cleaned copy.
        max_skipped: Greatest share of the images, and of the segments, that may be skipped.

    Returns:
        The metadata; see :func:`panoptic_classes`.

    Raises:
        InputError: A path is wrong, the file is not COCO's panoptic JSON, it holds nothing usable, or too
            little, or its classes are not the model's.
    """
    for folder, what in ((panoptic_root, "PNG"), (image_root, "image")):
        if not Path(folder).is_dir():
            raise InputError(f"{what} folder {folder} of {json_file} does not exist")
    content = read_panoptic_json(json_file)
    cleaned, findings = clean_panoptic(content, panoptic_root, image_root)
    if not cleaned["images"]:
        raise InputError(no_image_line(content["images"], json_file, image_root, findings))
    used = {"images": cleaned["images"], "segments": segments_of(cleaned)}
    if not used["segments"]:
        raise InputError(f"{json_file} has no usable segment; solo-d2 data check-panoptic lists why")
    given = {"images": content["images"], "segments": segments_of(content)}
    check_share(given, used, findings.skipped, json_file, max_skipped, ("images", "segments"))
    findings.log(logger, json_file)
    classes = panoptic_classes(cleaned["categories"], trained, json_file)
    original_ids = _original_ids(cleaned["categories"])
    kept = _only_known(cleaned, classes)
    if findings or len(kept["categories"]) < len(cleaned["categories"]):
        json_file = write_cleaned(kept, json_file, Path(cache_dir) / f"{name}.json")
    forget_dataset(name)
    metadata = add_panoptic(name, classes, json_file, panoptic_root, image_root)
    return metadata.set(original_ids={"category_id": original_ids}) if original_ids else metadata


def _original_ids(categories: Iterable[Mapping]) -> dict[int, str]:
    """Returns the ids of a file that are numbers as text, by the numbers."""
    return {one["id"]: one["original_id"] for one in categories if "original_id" in one}


def read_panoptic_classes(json_file: str | os.PathLike) -> dict:
    """Reads the classes that a model trained on a panoptic annotation file has, without the rest of the file.

    Returns:
        Metadata as :func:`register_panoptic_format` sets it; the ids are the file's.

    Raises:
        InputError: The file is missing or not COCO's panoptic JSON.
    """
    content = read_panoptic_json(json_file)
    categories = clean_panoptic_categories(content["categories"], Findings())
    classes, original_ids = panoptic_classes(categories), _original_ids(categories)
    for key in ("thing_dataset_id_to_contiguous_id", "stuff_dataset_id_to_contiguous_id"):
        classes[key] = {original_ids.get(number, number): index for number, index in classes[key].items()}
    return classes


def _only_known(content: dict, classes: Mapping) -> dict:
    """Drops categories that the model does not know, and their segments, whose pixels are void then."""
    known = {*classes["thing_dataset_id_to_contiguous_id"], *classes["stuff_dataset_id_to_contiguous_id"]}
    return {
        **content,
        "categories": [category for category in content["categories"] if category["id"] in known],
        "annotations": [
            {**one, "segments_info": [s for s in one["segments_info"] if s["category_id"] in known]}
            for one in content["annotations"]
        ],
    }


def add_panoptic(
    name: str,
    classes: Mapping,
    panoptic_json: str | os.PathLike,
    panoptic_root: str | os.PathLike,
    image_root: str | os.PathLike,
    *,
    advice: str = "",
    image_path: ImagePath | None = None,
    **more,
) -> Metadata:
    """Adds a panoptic data set to Detectron2's catalogs; its files are opened when it is loaded.

    Args:
        name: Of the data set.
        classes: Result of :func:`panoptic_classes`.
        panoptic_json: COCO panoptic annotations.
        panoptic_root: Folder of their PNG files.
        image_root: Folder of the images.
        advice: How to get the files, for the message if they are missing.
        image_path: Returns an image's path below ``image_root``; by default its "file_name".
        **more: Other metadata: "json_file" of an instance annotation, "sem_seg_root" of semantic maps.
    """
    paths = {
        "panoptic_json": str(panoptic_json),
        "panoptic_root": str(panoptic_root),
        "image_root": str(image_root),
    }
    load = partial(load_panoptic, classes=classes, advice=advice, image_path=image_path, **paths)
    DatasetCatalog.register(name, load)
    return MetadataCatalog.get(name).set(
        **paths,
        evaluator_type="coco_panoptic_seg",
        ignore_label=IGNORE_LABEL,
        **classes,
        **more,
    )


def load_panoptic(
    panoptic_json: str,
    panoptic_root: str,
    image_root: str,
    classes: Mapping,
    advice: str = "",
    image_path: ImagePath | None = None,
) -> list[dict]:
    """Reads a panoptic data set in Detectron2's standard format.

    Returns:
        One dict per annotated image: "file_name", "image_id", "height", "width", "pan_seg_file_name",
        "segments_info" ("id", "category_id" in the numbering of ``classes``, "isthing", "iscrowd"),
        and "annotations", the boxes of the things, for class statistics and filters.

    Raises:
        InputError: A file or folder is missing, or an annotation names an unknown image or category.
    """
    for path in (panoptic_json, panoptic_root, image_root):
        if not Path(path).exists():
            raise InputError(f"{path} does not exist{'; ' if advice else ''}{advice}")
    content = read_panoptic_json(panoptic_json)
    images = {image["id"]: image for image in content["images"]}
    image_path = image_path or (lambda image: image["file_name"])
    records = []
    for annotation in content["annotations"]:
        image = images.get(annotation["image_id"])
        if image is None:
            raise InputError(f"{panoptic_json}: {annotation['file_name']} belongs to no image it lists")
        try:
            segments = [_segment(s, classes) for s in annotation["segments_info"]]
        except KeyError as error:
            raise InputError(f"{panoptic_json}: {annotation['file_name']} has no usable {error}") from None
        records.append(
            {
                "file_name": os.path.join(image_root, image_path(image)),
                "image_id": image["id"],
                "height": image["height"],
                "width": image["width"],
                "pan_seg_file_name": os.path.join(panoptic_root, annotation["file_name"]),
                "segments_info": segments,
                "annotations": [
                    _box(segment, s)
                    for segment, s in zip(segments, annotation["segments_info"], strict=True)
                    if segment["isthing"] and "bbox" in s
                ],
            }
        )
    logger.info("Loaded %d images with panoptic annotations from %s", len(records), panoptic_json)
    return records


def _segment(segment: Mapping, classes: Mapping) -> dict:
    things = classes["thing_dataset_id_to_contiguous_id"]
    is_thing = segment["category_id"] in things
    numbering = things if is_thing else classes["stuff_dataset_id_to_contiguous_id"]
    return {
        "id": segment["id"],
        "category_id": numbering[segment["category_id"]],
        "isthing": is_thing,
        "iscrowd": segment.get("iscrowd", 0),
    }


def _box(segment: Mapping, source: Mapping) -> dict:
    return {
        "bbox": source["bbox"],
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": segment["category_id"],
        "iscrowd": segment["iscrowd"],
    }
