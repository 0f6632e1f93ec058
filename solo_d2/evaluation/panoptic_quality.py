"""Panoptic quality, PQ = SQ * RQ (Kirillov et al., "Panoptic Segmentation", CVPR 2019).

A predicted and a true segment of one class match above an IoU of 0.5. Void pixels do not count in the union.
A prediction that is mostly void or crowd is not a false positive, and crowds need no match. Where the
annotations agree with their PNG files, the numbers equal those of COCO's own evaluation, whose package is not
needed.
"""

import logging
import math
import os
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from solo_d2.utils.errors import InputError
from solo_d2.utils.image_file import UnreadableImage
from solo_d2.utils.panoptic_png import VOID, read_ids
from solo_d2.utils.parallel import map_in_processes

logger = logging.getLogger(__name__)

MATCH_IOU = 0.5
IGNORED_FRACTION = 0.5
MAX_UNUSABLE_FRACTION = 0.1
GROUPS = ("All", "Things", "Stuff")


@dataclass
class ClassCounts:
    """Counts behind one class's quality: matches, their summed IoU, and unmatched segments."""

    iou: float = 0.0
    tp: int = 0
    fp: int = 0
    fn: int = 0

    def add(self, other: "ClassCounts") -> None:
        self.iou += other.iou
        self.tp += other.tp
        self.fp += other.fp
        self.fn += other.fn

    def quality(self) -> dict[str, float]:
        """Returns "pq", "sq" and "rq" in [0, 1], and "n": 1, or 0 for a class that never occurs."""
        size = self.tp + 0.5 * self.fp + 0.5 * self.fn
        if size == 0:
            return {"pq": 0.0, "sq": 0.0, "rq": 0.0, "n": 0}
        return {
            "pq": self.iou / size,
            "sq": self.iou / self.tp if self.tp else 0.0,
            "rq": self.tp / size,
            "n": 1,
        }


@dataclass
class PanopticCounts:
    """Counts of several images.

    Attributes:
        classes: By category id.
        empty: True segments without a pixel, which do not count.
        unusable: Reasons why images do not count.
    """

    classes: dict[int, ClassCounts] = field(default_factory=dict)
    empty: int = 0
    unusable: list[str] = field(default_factory=list)

    def __getitem__(self, category: int) -> ClassCounts:
        return self.classes.setdefault(category, ClassCounts())

    def add(self, other: "PanopticCounts") -> None:
        for category, counts in other.classes.items():
            self[category].add(counts)
        self.empty += other.empty
        self.unusable += other.unusable

    def summary(self, categories: Sequence[Mapping]) -> dict:
        """Averages over the classes that occur.

        Args:
            categories: With "id" and "isthing".

        Returns:
            "All", "Things" and "Stuff", each {"pq", "sq", "rq", "n"} (NaN where n, the number of classes
            averaged, is 0), and "per_class": category id -> the same of one class, see
            :meth:`ClassCounts.quality`. Fractions, not percent.
        """
        per_class = {c["id"]: self[c["id"]].quality() for c in categories}
        groups = {
            "All": list(per_class),
            "Things": [c["id"] for c in categories if c["isthing"] == 1],
            "Stuff": [c["id"] for c in categories if c["isthing"] != 1],
        }
        means = {name: _mean([per_class[number] for number in ids]) for name, ids in groups.items()}
        return {**means, "per_class": per_class}


def _mean(qualities: Sequence[Mapping]) -> dict[str, float]:
    seen = [quality for quality in qualities if quality["n"]]
    measures = ("pq", "sq", "rq")
    if not seen:
        return {**dict.fromkeys(measures, math.nan), "n": 0}
    return {**{m: sum(quality[m] for quality in seen) / len(seen) for m in measures}, "n": len(seen)}


def count_image(
    truth_ids: np.ndarray,
    truth_segments: Sequence[Mapping],
    predicted_ids: np.ndarray,
    predicted_segments: Sequence[Mapping],
    categories: Iterable[int],
    image: object = "",
) -> PanopticCounts:
    """Matches one image's segments.

    Args:
        truth_ids: (H, W) integer segment ids, 0 for void.
        truth_segments: Each with "id", "category_id" and perhaps "iscrowd". Those without a pixel do not
            count, and pixels of other ids are void.
        predicted_ids: (H, W) integer segment ids, 0 for void.
        predicted_segments: Each with "id" and "category_id".
        categories: Valid category ids.
        image: Name of the image, for messages.

    Raises:
        InputError: If sizes differ, or the prediction contradicts itself.
    """
    if truth_ids.shape != predicted_ids.shape:
        raise InputError(
            f"image {image}: the prediction is {predicted_ids.shape}, the annotation {truth_ids.shape} "
            "(height, width)"
        )
    listed = {segment["id"]: segment for segment in truth_segments}
    overlaps, truth_area, predicted_area = _overlaps(truth_ids, predicted_ids, listed)
    truths = {number: segment for number, segment in listed.items() if number in truth_area}
    predictions = {segment["id"]: segment for segment in predicted_segments}
    _check_prediction(predictions, predicted_area, set(categories), image)

    counts = PanopticCounts(empty=len(listed) - len(truths))
    matched_truths, matched_predictions = set(), set()
    for (truth_id, predicted_id), overlap in overlaps.items():
        truth, prediction = truths.get(truth_id), predictions.get(predicted_id)
        if truth is None or prediction is None or truth.get("iscrowd"):
            continue
        if truth["category_id"] != prediction["category_id"]:
            continue
        void = overlaps.get((VOID, predicted_id), 0)
        # Above an IoU of 0.5 a segment matches at most one other, so the order of pairs does not matter.
        iou = overlap / (predicted_area[predicted_id] + truth_area[truth_id] - overlap - void)
        if iou > MATCH_IOU:
            counts[truth["category_id"]].add(ClassCounts(iou=iou, tp=1))
            matched_truths.add(truth_id)
            matched_predictions.add(predicted_id)

    unmatched_truths = [s for number, s in truths.items() if number not in matched_truths]
    unmatched_predictions = [s for number, s in predictions.items() if number not in matched_predictions]
    _count_unmatched(counts, unmatched_truths, unmatched_predictions, overlaps, predicted_area)
    return counts


def _count_unmatched(
    counts: PanopticCounts,
    truths: Sequence[Mapping],
    predictions: Sequence[Mapping],
    overlaps: Mapping[tuple[int, int], int],
    predicted_area: Mapping[int, int],
) -> None:
    """Adds segments without a match: false negatives, and false positives not mostly void or crowd."""
    crowds = {}
    for segment in truths:
        if segment.get("iscrowd"):
            # The official rule: of several crowds of a class, the last one listed absorbs predictions.
            crowds[segment["category_id"]] = segment["id"]
        else:
            counts[segment["category_id"]].fn += 1
    for segment in predictions:
        number, category = segment["id"], segment["category_id"]
        ignored = overlaps.get((VOID, number), 0)
        if category in crowds:
            ignored += overlaps.get((crowds[category], number), 0)
        if ignored / predicted_area[number] <= IGNORED_FRACTION:
            counts[category].fp += 1


def _overlaps(
    truth: np.ndarray, predicted: np.ndarray, listed: Container[int]
) -> tuple[dict[tuple[int, int], int], dict[int, int], dict[int, int]]:
    """Counts the pixels of every pair of overlapping ids, of every true id, and of every predicted id.

    True ids that are not listed count as void. Neighbors mostly have the same ids, so runs are counted
    instead of pixels.
    """
    # Both ids of a pixel in one int64, so that one sort finds all pairs.
    pairs = (truth.astype(np.int64) << 32 | predicted.astype(np.int64)).ravel()
    starts = np.concatenate([[0], np.flatnonzero(pairs[1:] != pairs[:-1]) + 1])
    lengths = np.diff(starts, append=pairs.size)
    distinct, which = np.unique(pairs[starts], return_inverse=True)
    areas = np.bincount(which, weights=lengths, minlength=len(distinct)).astype(np.int64)
    overlaps: Counter[tuple[int, int]] = Counter()
    truth_area: Counter[int] = Counter()
    predicted_area: Counter[int] = Counter()
    for pair, area in zip(distinct.tolist(), areas.tolist(), strict=True):
        truth_id, predicted_id = pair >> 32, pair & 0xFFFFFFFF
        truth_id = truth_id if truth_id in listed else VOID
        overlaps[truth_id, predicted_id] += area
        truth_area[truth_id] += area
        predicted_area[predicted_id] += area
    return overlaps, truth_area, predicted_area


def _check_prediction(
    predictions: Mapping[int, Mapping], area: Mapping[int, int], categories: set[int], image: object
) -> None:
    """Raises ``InputError`` if a prediction's map and its list of segments disagree."""
    unlisted = sorted(set(area) - set(predictions) - {VOID})
    if unlisted:
        raise InputError(f"image {image}: predicted segment {unlisted[0]} is in the PNG, but not in the JSON")
    missing = sorted(set(predictions) - set(area))
    if missing:
        raise InputError(f"image {image}: predicted segment {missing[0]} is in the JSON, but not in the PNG")
    for number, segment in predictions.items():
        if segment["category_id"] not in categories:
            raise InputError(
                f"image {image}: predicted segment {number} has category_id {segment['category_id']}, which "
                "the annotation file does not list"
            )


def panoptic_quality(
    truth: Mapping,
    predictions: Iterable[Mapping],
    truth_folder: str | os.PathLike,
    prediction_folder: str | os.PathLike,
    workers: int | None = None,
    image_ids: Container | None = None,
) -> dict:
    """Measures predictions against annotations, both in COCO's panoptic format.

    Args:
        truth: "annotations" (image_id, file_name, segments_info) and "categories".
        predictions: Annotations of every image.
        truth_folder: Folder of the PNG files that ``truth`` names.
        prediction_folder: Folder of the PNG files that ``predictions`` name.
        workers: Processes; default one per core, fewer for few images.
        image_ids: Images that count; by default all of ``truth``.

    Returns:
        See :meth:`PanopticCounts.summary`.

    Raises:
        InputError: If a prediction is missing or contradictory, or a file cannot be read.
    """
    predicted = {a["image_id"]: a for a in predictions}
    wanted = [a for a in truth["annotations"] if image_ids is None or a["image_id"] in image_ids]
    missing = [a["image_id"] for a in wanted if a["image_id"] not in predicted]
    if missing:
        raise InputError(f"there is no prediction for image {missing[0]} ({len(missing)} in all)")
    pairs = [(a, predicted[a["image_id"]]) for a in wanted]
    count = partial(
        _count_files,
        truth_folder=Path(truth_folder),
        prediction_folder=Path(prediction_folder),
        categories=[c["id"] for c in truth["categories"]],
    )
    total = PanopticCounts()
    for counts in map_in_processes(count, pairs, workers):
        total.add(counts)
    _report(total, len(pairs), truth_folder)
    return total.summary(truth["categories"])


def _report(total: PanopticCounts, images: int, folder: str | os.PathLike) -> None:
    """Logs what did not count; raises ``InputError`` if that is too much."""
    unusable = total.unusable
    if len(unusable) > max(1, MAX_UNUSABLE_FRACTION * images) or unusable and len(unusable) == images:
        raise InputError(f"{folder}: {len(unusable)} of {images} PNG files cannot be used: {unusable[-1]}")
    if unusable:
        logger.warning("%s: %d of %d images do not count: %s", folder, len(unusable), images, unusable[0])
    if total.empty:
        logger.warning("%s: %d segments have no pixel in their PNG and do not count", folder, total.empty)


def _count_files(
    pair: tuple[Mapping, Mapping], truth_folder: Path, prediction_folder: Path, categories: list[int]
) -> PanopticCounts:
    truth, prediction = pair
    predicted_ids = read_ids(prediction_folder / prediction["file_name"])
    try:
        truth_ids = read_ids(truth_folder / truth["file_name"])
    except UnreadableImage as error:
        return PanopticCounts(unusable=[str(error)])
    return count_image(
        truth_ids,
        truth["segments_info"],
        predicted_ids,
        prediction["segments_info"],
        categories,
        truth["image_id"],
    )
