"""Checks every record of a panoptic annotation file, and drops unusable ones with what depends on them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard

from solo_d2.structures.coco_masks import BrokenRecord
from solo_d2.utils.image_file import UnreadableImage, read_size
from solo_d2.utils.json_values import is_box, is_id, is_whole, whole_number
from solo_d2.utils.panoptic_png import LARGEST_ID, VOID, check_id_colors

from .coco_cleaning import Findings, clean_images, named_categories
from .spellings import Ids, plain_category_ids, plain_references


def clean_panoptic(
    content: Mapping, panoptic_root: str | os.PathLike, image_root: str | os.PathLike
) -> tuple[dict, Findings]:
    """Checks a panoptic annotation file's content.

    Of pictures only the headers are read.

    Args:
        content: Result of :func:`read_panoptic_json`; not changed.
        panoptic_root: Folder of the PNG files.
        image_root: Folder of the images.

    Returns:
        A cleaned copy, whose lists may be empty, and the findings. Each image has one annotation.
    """
    findings = Findings()
    categories = clean_panoptic_categories(content["categories"], findings)
    images = clean_images(content["images"], Path(image_root), findings)
    known, listed = Ids(category["id"] for category in categories), Ids(images)
    annotations: dict = {}
    for position, record in enumerate(content["annotations"]):
        label = f"annotation #{position}"
        try:
            if not is_annotation(record):
                raise BrokenRecord("annotation without the file name of its PNG, or without segments_info")
            label = record["file_name"]
            number = listed.find(record.get("image_id"))
            if number is None:
                raise BrokenRecord("annotation of an image that is not usable")
            if number in annotations:
                raise BrokenRecord("image annotated twice")
            record = plain_references(record, {"image_id": listed}, label, findings.fixed)
            annotations[number] = _clean_annotation(
                record, images[number], Path(panoptic_root), known, findings
            )
        except BrokenRecord as reason:
            findings.skipped.add(str(reason), label)
    for number, image in images.items():
        if number not in annotations:
            findings.skipped.add("image without a usable annotation", image["file_name"])
    cleaned = {
        **content,
        "categories": categories,
        "images": [image for number, image in images.items() if number in annotations],
        "annotations": list(annotations.values()),
    }
    return cleaned, findings


def is_annotation(record: object) -> TypeGuard[dict]:
    """Returns True if an entry of "annotations" names a PNG and lists segments."""
    if not isinstance(record, dict):
        return False
    return isinstance(record.get("file_name"), str) and isinstance(record.get("segments_info"), list)


def segments_of(content: Mapping) -> list:
    """Returns the entries of all "segments_info" in a file's content, usable or not."""
    usable = filter(is_annotation, content["annotations"])
    return [segment for annotation in usable for segment in annotation["segments_info"]]


def clean_panoptic_categories(records: list, findings: Findings) -> list[dict]:
    """Returns usable categories by ascending id; a thing and a stuff class may have the same name.

    Args:
        records: Of a panoptic annotation file.
        findings: Gets what was skipped or fixed.
    """
    kinds: dict[bool, list] = {True: [], False: []}
    seen = set()
    for position, record in enumerate(plain_category_ids(records, findings.fixed)):
        number = record.get("id") if isinstance(record, dict) else None
        if not (is_id(number) and isinstance(number, int)):
            findings.skipped.add("category without a whole-number id", f"category #{position}")
        elif number in seen:
            findings.skipped.add("category id used twice", f"category {number}")
        elif record.get("isthing") not in (0, 1):
            findings.skipped.add("category whose isthing is neither 0 nor 1", f"category {number}")
        else:
            seen.add(number)
            kinds[bool(record["isthing"])].append(record)
    cleaned = [*named_categories(kinds[True], findings), *named_categories(kinds[False], findings)]
    return sorted((_with_color(one, findings) for one in cleaned), key=lambda one: one["id"])


def _with_color(category: dict, findings: Findings) -> dict:
    color = category.get("color", [0, 0, 0])
    if isinstance(color, list) and len(color) == 3 and all(is_whole(c) and 0 <= c <= 255 for c in color):
        return category
    findings.fixed.add("color that is not three numbers from 0 to 255 dropped", f"category {category['id']}")
    return {key: value for key, value in category.items() if key != "color"}


def _clean_annotation(
    record: dict, image: Mapping, panoptic_root: Path, known: Ids, findings: Findings
) -> dict:
    """Returns a cleaned copy of one image's annotation; raises ``BrokenRecord`` if it is unusable."""
    path = panoptic_root / record["file_name"]
    if not os.path.isfile(path):  # unlike Path.is_file, for any text
        raise BrokenRecord("panoptic PNG that does not exist")
    try:
        check_id_colors(path)
        size = read_size(path)
    except UnreadableImage:
        raise BrokenRecord("panoptic PNG that cannot be used") from None
    if size != (image["height"], image["width"]):
        raise BrokenRecord("panoptic PNG whose size is not its image's")
    return {**record, "segments_info": clean_segments(record, known, findings)}


def clean_segments(record: Mapping, known: Ids, findings: Findings) -> list[dict]:
    """Returns the usable segments of an annotation.

    Args:
        record: With "file_name" and the list "segments_info".
        known: Those of the usable categories.
        findings: Gets what was skipped or fixed.
    """
    segments: dict[int, dict] = {}
    for segment in record["segments_info"]:
        try:
            kept = _clean_segment(segment, segments, known, record["file_name"], findings)
            segments[kept["id"]] = kept
        except BrokenRecord as reason:
            number = segment.get("id") if isinstance(segment, dict) else segment
            findings.skipped.add(str(reason), f"{record['file_name']}: {number}")
    return list(segments.values())


def _clean_segment(segment: object, taken: Mapping, known: Ids, name: str, findings: Findings) -> dict:
    """Returns a cleaned copy of one segment; raises ``BrokenRecord`` if it is unusable."""
    number = whole_number(segment.get("id")) if isinstance(segment, dict) else None
    if not isinstance(segment, dict) or not is_whole(number) or not VOID < number <= LARGEST_ID:
        raise BrokenRecord(f"segment id that is no whole number from 1 to {LARGEST_ID}")
    label = f"{name}: {number}"
    if number in taken:
        raise BrokenRecord("segment id used twice in an image")
    if known.find(segment.get("category_id")) is None:
        raise BrokenRecord("segment of a category that the JSON does not list")
    segment = plain_references(segment, {"id": Ids([number]), "category_id": known}, label, findings.fixed)
    if "bbox" in segment and not is_box(segment["bbox"]):
        findings.fixed.add("bbox that is not four numbers dropped", label)
        segment = {key: value for key, value in segment.items() if key != "bbox"}
    if segment.get("iscrowd", 0) not in (0, 1):
        findings.fixed.add("iscrowd set to 0", label)
        segment = {**segment, "iscrowd": 0}
    return segment
