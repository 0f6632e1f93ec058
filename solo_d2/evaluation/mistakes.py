"""A model's single mistakes: objects that were missed, and masks that are on none, on two, or on one twice.

R: results of an image with a sufficient score, G: its objects.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

MISSED, NOTHING, SEVERAL, TWICE, CLASS = KINDS = (
    "missed object",
    "mask on no object",
    "mask on several objects",
    "object found twice",
    "wrong class",
)
_SAME = 0.5  # mask IoU of a result and its object
_COVERED = 0.5  # share of an object that a mask must contain to claim it


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    Attributes:
        kind: One of ``KINDS``.
        image_id: Its image.
        weight: 0 to 1, larger is worse: the result's score, or the missed object's share of its image.
        segmentation: Mask of the result, or of the missed object, compressed RLE.
        category_id: Class of the result, or of the missed object.
        true_category_id: Class of the object that a result of another class is on; else None.
    """

    kind: str
    image_id: int | str
    weight: float
    segmentation: Mapping
    category_id: int | str
    true_category_id: int | str | None = None


def find_mistakes(truth: COCO, results: Sequence[Mapping], min_score: float) -> list[Mistake]:
    """Compares results with the objects of their images.

    A result belongs to the object of any class that it overlaps most, from an IoU of 0.5 on; if two belong to
    one object, the better score has it. Results on crowds are no mistakes.

    Args:
        truth: The annotations.
        results: COCO results with compressed RLE.
        min_score: Results below it count as absent.

    Returns:
        The mistakes of each kind, in the order of ``KINDS`` and from large to small weight.
    """
    by_image = defaultdict(list)
    for result in results:
        if result["score"] >= min_score:
            by_image[result["image_id"]].append(result)
    found = [
        mistake
        for image_id in truth.getImgIds()
        for mistake in _mistakes_of(
            truth, image_id, sorted(by_image[image_id], key=lambda result: -result["score"])
        )
    ]
    return sorted(found, key=lambda one: (KINDS.index(one.kind), -one.weight))


def spanning_share(truth: COCO, results: Sequence[Mapping], min_score: float) -> tuple[int, int]:
    """Counts masks that claim several objects: they contain at least half of each of two or more.

    Args:
        truth: The annotations; crowds do not count.
        results: COCO results with compressed RLE.
        min_score: Results below it do not count.

    Returns:
        The number of such masks, and of all results with a sufficient score.
    """
    mistakes = find_mistakes(truth, results, min_score)
    total = sum(result["score"] >= min_score for result in results)
    return sum(mistake.kind == SEVERAL for mistake in mistakes), total


def _mistakes_of(truth: COCO, image_id: int | str, results: Sequence[Mapping]) -> Iterator[Mistake]:
    """Yields the mistakes of an image, given its results from the best score on."""
    objects = truth.loadAnns(truth.getAnnIds(imgIds=[image_id]))
    things = [one for one in objects if not one.get("iscrowd")]
    crowds = [truth.annToRLE(one) for one in objects if one.get("iscrowd")]
    masks = [result["segmentation"] for result in results]
    true_masks = [truth.annToRLE(one) for one in things]
    overlaps = _overlaps(masks, true_masks)
    several = (_shares(true_masks, masks) >= _COVERED).sum(0) >= 2
    on_crowd = _shares(masks, crowds).max(1, initial=0.0) >= _SAME
    taken: set[int] = set()
    for row, result in enumerate(results):
        best = int(overlaps[row].argmax()) if things else -1
        is_on = best >= 0 and overlaps[row, best] >= _SAME
        kind, other = "", None
        if several[row]:
            kind = SEVERAL
        elif not is_on:
            kind = "" if on_crowd[row] else NOTHING
        elif best in taken:
            kind = TWICE
        elif result["category_id"] != things[best]["category_id"]:
            kind, other = CLASS, things[best]["category_id"]
        if is_on:
            taken.add(best)
        if kind:
            yield Mistake(kind, image_id, result["score"], masks[row], result["category_id"], other)
    for index in set(range(len(things))) - taken:
        mask = true_masks[index]
        share = float(coco_mask.area(mask)) / (mask["size"][0] * mask["size"][1])
        yield Mistake(MISSED, image_id, share, mask, things[index]["category_id"])


def _overlaps(masks: Sequence, others: Sequence) -> np.ndarray:
    """Returns the IoU of all pairs, (R, G)."""
    if not masks or not others:
        return np.zeros((len(masks), len(others)))
    return np.asarray(coco_mask.iou(masks, others, [0] * len(others)))


def _shares(masks: Sequence, others: Sequence) -> np.ndarray:
    """Returns the share of each mask that is inside each other one, (len(masks), len(others))."""
    if not masks or not others:
        return np.zeros((len(masks), len(others)))
    # COCO's IoU with a crowd: the intersection divided by the first mask's area.
    return np.asarray(coco_mask.iou(masks, others, [1] * len(others)))
