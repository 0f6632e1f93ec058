"""Reads panoptic annotation files, and compares them with their pictures."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from solo_d2.utils.errors import InputError
from solo_d2.utils.image_file import UnreadableImage, read_size
from solo_d2.utils.json_file import read_json
from solo_d2.utils.panoptic_png import VOID, read_ids
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


def check_pictures(
    content: Mapping,
    panoptic_root: str | os.PathLike,
    image_root: str | os.PathLike,
    workers: int | None = None,
) -> Problems:
    """Compares every PNG and image with the JSON.

    Args:
        content: Result of :func:`clean_panoptic`.
        panoptic_root: Folder of the PNG files.
        image_root: Folder of the images.
        workers: Number of processes; by default one per core.

    Returns:
        The problems; each kind has a count and examples.
    """
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
        elif segment.get("area", areas[number]) != areas[number]:
            place = f"{name}: segment {number} has {areas[number]}, listed as {segment['area']}"
            found.append(("segment with another number of pixels than its area", place))
    return found
