"""Checks every record of a COCO annotation file, repairs redundant fields, and drops unusable records."""

import itertools
import logging
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import sub
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from solo_d2.structures.coco_masks import (
    NO_MASK,
    BrokenRecord,
    Measures,
    clip_corners,
    measure_segmentation,
)
from solo_d2.utils.errors import InputError
from solo_d2.utils.image_file import DeepImage, UnreadableImage, read_size
from solo_d2.utils.json_values import is_box, is_id, is_number, is_whole

from .problems import Problems, shorten
from .spellings import Ids, plain_category_ids, plain_image, plain_references
from .usable_share import check_boxes, check_share

_SECTIONS = ("images", "annotations", "categories")
# Tolerances for rounded or differently drawn fields, against fields with another meaning (corners, fractions
# of the image): pixels between edges or IoU of a box and its mask's box; factor between areas.
_CLOSE_EDGES, _FITTING_IOU, _SAME_IOU, _FITTING_AREA = 2.0, 0.5, 0.9, 4.0


@dataclass(frozen=True)
class Findings:
    """The results of cleaning.

    Attributes:
        skipped: Reasons and the dropped records.
        fixed: Repairs and the changed records.
    """

    skipped: Problems = field(default_factory=Problems)
    fixed: Problems = field(default_factory=Problems)

    def __bool__(self) -> bool:
        return bool(self.skipped or self.fixed)

    def log(self, logger: logging.Logger, source: str | os.PathLike) -> None:
        """Logs one warning per reason, with count and first examples."""
        for verb, groups in (("skipped", self.skipped), ("fixed", self.fixed)):
            for reason, records in groups:
                logger.warning("%s: %s %d: %s (%s)", source, verb, len(records), reason, shorten(records))


def clean_coco(
    content: Any,
    source: str | os.PathLike,
    image_root: str | os.PathLike,
    boxes_only: bool = False,
    max_skipped: float = 1.0,
) -> tuple[dict, Findings]:
    """Checks an annotation file's content.

    Args:
        content: The parsed JSON.
        source: Its source, for messages.
        image_root: Folder that the images' file names are relative to.
        boxes_only: Whether an annotation may have a box without a segmentation.
        max_skipped: Maximum fraction of the images, and of the annotations, that may be skipped.

    Returns:
        A cleaned copy that COCO's tools accept (keys unknown to COCO are kept), and the findings. Without
        "annotations", as in COCO's test-dev, the copy has none either.

    Raises:
        InputError: If it is not in COCO format, or nothing or too little is usable.
    """
    has_truth = not isinstance(content, dict) or "annotations" in content
    content = content if has_truth else {**content, "annotations": []}
    check_sections(content, source)
    findings = Findings()
    categories = clean_categories(content["categories"], findings)
    if not categories:
        raise InputError(f"{source} has no usable category: list the classes under 'categories'")
    images = clean_images(content["images"], Path(image_root), findings)
    if not images:
        raise InputError(no_image_line(content["images"], source, image_root, findings))
    annotations = _clean_annotations(content["annotations"], images, categories, findings, boxes_only)
    _clean_embeddings(annotations, findings)
    if content["annotations"] and not annotations:
        reasons = "; ".join(f"{len(ids)}: {reason}" for reason, ids in findings.skipped)
        hint = "; evaluate boxes alone with boxes_only True" if NO_MASK in findings.skipped else ""
        raise InputError(f"{source}: none of its annotations can be used ({reasons}){hint}")
    cleaned = {
        **content,
        "categories": categories,
        "images": list(images.values()),
        "annotations": annotations,
    }
    check_share(content, cleaned, findings.skipped, source, max_skipped)
    check_boxes(cleaned, source)
    if not has_truth:
        del cleaned["annotations"]
    return cleaned, findings


def check_sections(content: object, source: str | os.PathLike) -> None:
    """Raises ``InputError`` if this is not a COCO annotation set."""
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in _SECTIONS):
        raise InputError(f"{source} is not a COCO annotation file: it needs the lists {', '.join(_SECTIONS)}")


def no_image_line(
    images: list, source: str | os.PathLike, image_root: str | os.PathLike, findings: Findings
) -> str:
    """Returns the message about an annotation set none of whose images can be used."""
    if not images:
        return f"{source} lists no image"
    reasons = "; ".join(f"{reason}: {records[0]}" for reason, records in findings.skipped)
    return (
        f"{source}: none of its {len(images)} images can be used, looked for in {image_root} "
        f"({reasons}); is that the folder the file names are relative to?"
    )


def clean_categories(records: list, findings: Findings) -> list[dict]:
    """Returns the usable categories by ascending id; each has a name of its own.

    Args:
        records: Of an annotation file.
        findings: Gets what was skipped or fixed.
    """
    return named_categories(plain_category_ids(records, findings.fixed), findings)


def named_categories(records: list, findings: Findings) -> list[dict]:
    """Does the same for records with plain ids."""
    categories: dict[int | str, dict] = {}
    ids = [record.get("id") for record in records if isinstance(record, dict)]
    kind = int if any(isinstance(number, int) for number in ids) else str
    for position, record in enumerate(records):
        number = record.get("id") if isinstance(record, dict) else None
        if not (is_id(number) and isinstance(number, kind)):
            findings.skipped.add("category without a whole-number id", f"category #{position}")
        elif number in categories:
            findings.skipped.add("category id used twice", f"category {number}")
        else:
            if not isinstance(record.get("name"), str):
                findings.fixed.add("category without a name named by its id", f"category {number}")
                record = {**record, "name": str(number)}
            categories[number] = record
    names: set[str] = set()
    ordered = sorted(categories, key=id_order)
    for number in ordered:
        name = categories[number]["name"]
        while name in names:
            name += f" ({number})"
        if name != categories[number]["name"]:
            findings.fixed.add("category name used twice, its id appended", f"category {number}")
            categories[number] = {**categories[number], "name": name}
        names.add(name)
    return [categories[number] for number in ordered]


def id_order(number: int | str) -> tuple:
    """Returns the sort key of ids: numbers before text."""
    return isinstance(number, str), number


def clean_images(records: list, image_root: Path, findings: Findings) -> dict:
    """Returns usable images by id, without images that share an id, whose annotations are ambiguous.

    Args:
        records: Of an annotation file.
        image_root: Folder that their file names are relative to.
        findings: Gets what was skipped or fixed.
    """
    images: dict = {}
    records = [plain_image(record, image_root, findings.fixed) for record in records]
    files = _files_by_id(records)
    for position, record in enumerate(records):
        label = f"image #{position}"
        try:
            if not isinstance(record, dict) or not isinstance(record.get("file_name"), str):
                raise BrokenRecord("image without a file name")
            label = record["file_name"]
            number = record.get("id")
            if not is_id(number):
                raise BrokenRecord("image without an id")
            if len(files[number]) > 1:
                raise BrokenRecord("image whose id another image has, too")
            if number in images:
                raise BrokenRecord("image listed twice")
            images[number] = _with_size(record, image_root / record["file_name"], label, findings)
        except BrokenRecord as reason:
            findings.skipped.add(str(reason), label)
    return images


def _files_by_id(records: list) -> dict[int | str, set[str]]:
    """Returns the file names of each image id."""
    files = defaultdict(set)
    for record in records:
        if isinstance(record, dict) and is_id(record.get("id")):
            if isinstance(record.get("file_name"), str):
                files[record["id"]].add(record["file_name"])
    return files


def _with_size(record: dict, path: Path, label: str, findings: Findings) -> dict:
    """Returns the record of an image with the size of its file."""
    if not os.path.isfile(path):  # unlike Path.is_file, for any text
        raise BrokenRecord("image file missing")
    try:
        height, width = read_size(path)
    except DeepImage:
        raise BrokenRecord("image file with more than 8 bits per value (convert it to 8 bits)") from None
    except UnreadableImage:
        raise BrokenRecord("image file unreadable") from None
    listed = (record.get("height"), record.get("width"))
    if all(isinstance(value, int) and value > 0 for value in listed):
        if listed == (height, width):
            return record
        raise BrokenRecord("image whose listed size is not that of its file (upright)")
    findings.fixed.add("image size read from the image file", label)
    return {**record, "height": height, "width": width}


def _clean_annotations(
    records: list, images: dict, categories: list[dict], findings: Findings, boxes_only: bool
) -> list[dict]:
    ids = {"image_id": Ids(images), "category_id": Ids(category["id"] for category in categories)}
    kept: list[dict] = []
    taken: dict[int, dict] = {}
    unnumbered: list[dict] = []
    for position, record in enumerate(records):
        label = f"annotation #{position}"
        try:
            if not isinstance(record, dict):
                raise BrokenRecord("annotation that is not an object")
            label = f"annotation {record.get('id', f'#{position}')}"
            record = plain_references(record, ids, label, findings.fixed)
            number = record.get("id")
            if is_whole(number) and _same_instance(record, taken.get(number)):
                raise BrokenRecord("annotation listed twice")
            record = _clean_annotation(record, images, ids, label, findings, boxes_only)
        except BrokenRecord as reason:
            findings.skipped.add(str(reason), label)
            continue
        kept.append(record)
        # COCO's evaluation treats id 0 as "unmatched".
        if is_whole(number) and number > 0 and number not in taken:
            taken[number] = record
        else:
            findings.fixed.add("annotation with a missing, impossible or reused id renumbered", label)
            unnumbered.append(record)
    free = (number for number in itertools.count(1) if number not in taken)
    for record in unnumbered:
        record["id"] = next(free)
    return kept


def _clean_embeddings(annotations: list[dict], findings: Findings) -> None:
    """Drops embeddings that are not lists of numbers, or differ in length from the first one."""
    length = None
    for record in annotations:
        if "embedding" not in record:
            continue
        size = _vector_length(record["embedding"])
        if size and size == (length or size):
            length = size
        else:
            del record["embedding"]
            findings.fixed.add(
                "embedding that is no list of numbers, or of another length, dropped",
                f"annotation {record['id']}",
            )


def _vector_length(value: object) -> int:
    """Returns the length of a list of finite numbers; 0 for anything else."""
    try:
        numbers = np.asarray(value)
    except ValueError:
        return 0
    sound = isinstance(value, list) and numbers.ndim == 1 and numbers.dtype.kind in "iuf"
    return len(numbers) if sound and np.isfinite(numbers).all() else 0


def _same_instance(first: dict, second: dict | None) -> bool:
    keys = ("image_id", "category_id", "segmentation")
    return second is not None and all(first.get(key) == second.get(key) for key in keys)


def _clean_annotation(
    record: dict, images: dict, ids: dict[str, Ids], label: str, findings: Findings, boxes_only: bool
) -> dict:
    """Returns a cleaned copy of one annotation; raises ``BrokenRecord`` if it is unusable."""
    for key, kind in (("image_id", "image"), ("category_id", "category")):
        if ids[key].find(record.get(key)) is None:
            raise BrokenRecord(f"{key} of no usable {kind}")
    image = images[record["image_id"]]
    height, width = image["height"], image["width"]
    measures = _measure(record, height, width, boxes_only)
    changes: dict[str, object] = {"segmentation": measures.segmentation}
    if measures.fixed:
        findings.fixed.add(measures.fixed, label)
    area = record.get("area")
    if not is_number(area) or area <= 0:
        changes["area"] = measures.area
        findings.fixed.add("area taken from the mask", label)
    elif measures.segmentation and not 1 / _FITTING_AREA <= area / measures.area <= _FITTING_AREA:
        changes["area"] = measures.area
        findings.fixed.add("area that does not fit its mask taken from the mask", label)
    if not _box_is_usable(record.get("bbox"), height, width):
        changes["bbox"] = list(measures.box)
        findings.fixed.add("missing or impossible bbox taken from the mask", label)
    elif not _box_fits(record["bbox"], measures.box, height, width):
        changes["bbox"] = list(measures.box)
        findings.fixed.add("bbox that does not fit its mask taken from the mask", label)
    changes |= _clean_flags(record, label, findings)
    return {**record, **changes}


def _clean_flags(record: dict, label: str, findings: Findings) -> dict[str, object]:
    """Returns the changes of "iscrowd", "ignore" and "mask_withheld"."""
    changes: dict[str, object] = {}
    if record.get("mask_withheld", 0) not in (0, 1):
        findings.fixed.add("mask_withheld set to 0", label)
        changes["mask_withheld"] = 0
    if record.get("ignore"):
        findings.fixed.add("'ignore' annotation treated as crowd", label)
        changes |= {"iscrowd": 1, "ignore": 0}
    elif record.get("iscrowd") not in (0, 1):
        findings.fixed.add("iscrowd set to 0", label)
        changes["iscrowd"] = 0
    return changes


def _measure(record: dict, height: int, width: int, boxes_only: bool) -> Measures:
    """Measures an annotation's mask, or its box if that suffices and it has no mask."""
    box = record.get("bbox")
    if boxes_only and not record.get("segmentation") and _box_is_usable(box, height, width):
        return Measures([], float(box[2] * box[3]), (box[0], box[1], box[2], box[3]))
    return measure_segmentation(record.get("segmentation"), height, width)


def _box_is_usable(box: object, height: int, width: int) -> TypeGuard[list[float]]:
    """Returns True if [x, y, width, height] is numeric, has an area, and touches the image."""
    if not is_box(box):
        return False
    left, top, wide, high = box
    return wide > 0 and high > 0 and left < width and top < height and left + wide > 0 and top + high > 0


def _box_fits(box: list[float], measured: Sequence[float], height: int, width: int) -> bool:
    """Returns True if [x, y, width, height] is close to the mask's box inside its image."""
    left, top, wide, high = box
    own = _corners(measured)
    given = clip_corners(_corners(box), height, width)
    if max(map(abs, map(sub, own, given))) <= _CLOSE_EDGES:
        return True
    fit, as_corners = _iou(own, given), _iou(own, clip_corners((left, top, wide, high), height, width))
    return fit >= _FITTING_IOU and not (as_corners >= _SAME_IOU and as_corners > fit)


def _corners(box: Sequence[float]) -> tuple[float, ...]:
    left, top, wide, high = box
    return left, top, left + wide, top + high


def _iou(one: Sequence[float], other: Sequence[float]) -> float:
    """Returns the IoU of two boxes given by corners; 0 for boxes without area."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return wide * high / (areas - wide * high)
