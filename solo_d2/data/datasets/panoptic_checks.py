"""Finds the problems of a panoptic annotation set; each kind has a count and examples."""

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from solo_d2.structures.coco_masks import is_number
from solo_d2.utils.errors import InputError
from solo_d2.utils.image_file import UnreadableImage, read_size
from solo_d2.utils.json_file import read_json
from solo_d2.utils.panoptic_png import LARGEST_ID, VOID, read_ids
from solo_d2.utils.parallel import map_in_processes

from .problems import Problems

_SECTIONS = ("images", "annotations", "categories")
Problem = tuple[str, str]
"""A problem, in the same words for all cases of its kind, and its place."""


def read_panoptic_json(json_file: str | os.PathLike) -> dict:
    """Reads a panoptic annotation file.

    Raises:
        InputError: If it is missing, or is not COCO's panoptic JSON.
    """
    content = read_json(json_file, "panoptic annotation file")
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in _SECTIONS):
        raise InputError(
            f"{json_file} is no panoptic annotation file: it needs the lists {', '.join(_SECTIONS)}"
        )
    return content


def check_json(content: Mapping, panoptic_root: str | os.PathLike, image_root: str | os.PathLike) -> Problems:
    """Checks the file itself and that its files exist; opens no picture.

    Args:
        content: Result of :func:`read_panoptic_json`.
        panoptic_root: Folder of the PNG files.
        image_root: Folder of the images.
    """
    problems = Problems()
    images: dict = {}
    categories = {c["id"] for c in content["categories"] if isinstance(c, dict) and "id" in c}
    for problem in (
        *_category_problems(content["categories"]),
        *_image_problems(content["images"], Path(image_root), images),
        *_annotation_problems(content["annotations"], Path(panoptic_root), images, categories),
    ):
        problems.add(*problem)
    return problems


def _annotation_problems(
    annotations: list, panoptic_root: Path, images: Mapping, categories: set
) -> Iterator[Problem]:
    annotated = set()
    for position, annotation in enumerate(annotations):
        if not isinstance(annotation, dict) or not isinstance(annotation.get("file_name"), str):
            yield "annotation without the file name of its PNG", f"annotation #{position}"
            continue
        name, image = annotation["file_name"], annotation.get("image_id")
        if image not in images:
            yield "annotation of an image that the JSON does not list", name
        elif image in annotated:
            yield "image annotated twice", name
        annotated.add(image)
        if not (panoptic_root / name).is_file():
            yield "panoptic PNG that does not exist", str(panoptic_root / name)
        yield from _segment_problems(annotation, categories)
    for image in images.keys() - annotated:
        yield "image without an annotation", str(images[image]["file_name"])


def _category_problems(categories: list) -> Iterator[Problem]:
    seen: set[int] = set()
    for position, category in enumerate(categories):
        if not isinstance(category, dict) or not isinstance(category.get("id"), int):
            yield "category without a whole-number id", f"category #{position}"
            continue
        label = f"category {category['id']}"
        if category["id"] in seen:
            yield "category id used twice", label
        if category.get("isthing") not in (0, 1):
            yield "category whose isthing is neither 0 nor 1", label
        if not isinstance(category.get("name"), str):
            yield "category without a name", label
        seen.add(category["id"])
    if not categories:
        yield "empty list of categories", "categories"


def _image_problems(records: list, image_root: Path, images: dict) -> Iterator[Problem]:
    """Yields problems of images; also fills ``images``, the usable records by id."""
    for position, image in enumerate(records):
        if not isinstance(image, dict) or not {"id", "file_name", "height", "width"} <= set(image):
            yield "image without id, file_name, height or width", f"image #{position}"
            continue
        if image["id"] in images:
            yield "image id used twice", str(image["id"])
        images[image["id"]] = image
        if not (image_root / image["file_name"]).is_file():
            yield "image file that does not exist", str(image_root / image["file_name"])
    if not records:
        yield "empty list of images", "images"


def _segment_problems(annotation: Mapping, categories: set) -> Iterator[Problem]:
    name, seen = annotation["file_name"], set()
    segments = annotation.get("segments_info")
    if not isinstance(segments, list):
        yield "annotation without segments_info", name
        return
    for segment in segments:
        number = segment.get("id") if isinstance(segment, dict) else None
        if not isinstance(number, int) or not VOID < number <= LARGEST_ID:
            yield f"segment id that is no whole number from 1 to {LARGEST_ID}", f"{name}: {number}"
            continue
        if number in seen:
            yield "segment id used twice in an image", f"{name}: {number}"
        seen.add(number)
        if segment.get("category_id") not in categories:
            yield "segment of a category that the JSON does not list", f"{name}: {number}"
        if not is_number(segment.get("area")):
            yield "segment without an area", f"{name}: {number}"


def check_pictures(
    content: Mapping,
    panoptic_root: str | os.PathLike,
    image_root: str | os.PathLike,
    workers: int | None = None,
) -> Problems:
    """Compares every PNG and image with the JSON, which :func:`check_json` found usable."""
    images = {image["id"]: image for image in content["images"]}
    check = partial(_picture_problems, panoptic_root=Path(panoptic_root), image_root=Path(image_root))
    pairs = [(a, images[a["image_id"]]) for a in content["annotations"]]
    problems = Problems()
    for found in map_in_processes(check, pairs, workers):
        for problem in found:
            problems.add(*problem)
    return problems


def _picture_problems(pair: tuple[Mapping, Mapping], panoptic_root: Path, image_root: Path) -> list[Problem]:
    annotation, image = pair
    name, size = annotation["file_name"], (image["height"], image["width"])
    found: list[Problem] = []
    try:
        measured = read_size(image_root / image["file_name"])
        if measured != size:
            place = f"{image['file_name']}: {measured}, listed as {size}"
            found.append(("image whose (height, width) is not what the JSON says", place))
    except UnreadableImage as error:
        found.append(("image that cannot be read", str(error)))
    try:
        ids = read_ids(panoptic_root / name)
    except InputError as error:
        return [*found, ("panoptic PNG that cannot be used", str(error))]
    if ids.shape != size:
        place = f"{name}: {ids.shape}, listed as {size}"
        found.append(("panoptic PNG whose (height, width) is not its image's", place))
    return found + _id_problems(annotation, ids)


def _id_problems(annotation: Mapping, ids: np.ndarray) -> list[Problem]:
    name, found = annotation["file_name"], []
    numbers, counts = np.unique(ids, return_counts=True)
    areas = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    listed = {segment["id"]: segment for segment in annotation["segments_info"]}
    for number in areas.keys() - listed.keys() - {VOID}:
        found.append(
            ("id in a PNG that the JSON does not list: its pixels count as void", f"{name}: {number}")
        )
    for number, segment in listed.items():
        if number not in areas:
            found.append(("segment in the JSON that its PNG does not have", f"{name}: {number}"))
        elif segment["area"] != areas[number]:
            place = f"{name}: segment {number} has {areas[number]}, listed as {segment['area']}"
            found.append(("segment with another number of pixels than its area", place))
    return found
