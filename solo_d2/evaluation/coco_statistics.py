"""COCO's own evaluation, pycocotools, without its printed output."""

import contextlib
import io
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from solo_d2.structures.coco_masks import BrokenRecord, check_segmentation
from solo_d2.utils.errors import InputError

# pycocotools counts an image's pixels with 32 bits.
_LONGEST_SIDE = 65_535


def index_truth(content: Mapping, source: str | os.PathLike) -> COCO:
    """Indexes a COCO annotation set.

    Args:
        content: The parsed file; its lists are used without a copy.
        source: Its source, for messages.

    Raises:
        InputError: If a mask is not safe for pycocotools.
    """
    check_masks(content["annotations"], content["images"], source)
    truth = COCO()
    truth.dataset = {"info": {}, **content}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth


def check_masks(annotations: Iterable[Mapping], images: Iterable[Mapping], source: str | os.PathLike) -> None:
    """Checks that the masks of annotations or results are safe for pycocotools.

    Args:
        annotations: With "image_id" and optional "segmentation"; those of other images are ignored.
        images: With "id" and, if they have masks, "height" and "width".
        source: Their source, for messages.

    Raises:
        InputError: If a mask is malformed or far outside its image, or the image has an impossible size.
    """
    sizes: dict[object, tuple[Any, Any]] = {
        image["id"]: (image.get("height"), image.get("width")) for image in images
    }
    for position, annotation in enumerate(annotations):
        if not annotation.get("segmentation") or annotation["image_id"] not in sizes:
            continue
        label = f"{source}: annotation or result {annotation.get('id', f'#{position}')}"
        height, width = sizes[annotation["image_id"]]
        if not all(isinstance(side, int) and 0 < side <= _LONGEST_SIDE for side in (height, width)):
            raise InputError(f"{label}: its image has an impossible size, {height} x {width}")
        try:
            check_segmentation(annotation["segmentation"], height, width)
        except BrokenRecord as reason:
            raise InputError(f"{label}: {reason}") from None


def coco_statistics(
    truth: COCO,
    results: Sequence[dict],
    task: str,
    max_dets: Sequence[int] | None = None,
    image_ids: Iterable | None = None,
) -> list[float]:
    """Measures results.

    Args:
        truth: Result of :func:`index_truth`.
        results: In COCO's format, at least one.
        task: "bbox" or "segm".
        max_dets: Three numbers of results that count per image; by default COCO's 1, 10 and 100.
        image_ids: Images that count; by default all.

    Returns:
        COCO's twelve numbers, AP first, in percent; NaN without ground truth of that size.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = _accumulated(truth, results, task, max_dets, image_ids)
        evaluation.summarize()
    return [100 * float(value) if value >= 0 else math.nan for value in evaluation.stats]


def precision_curves(truth: COCO, results: Sequence[dict]) -> dict[float, np.ndarray]:
    """Measures precision at each recall, the mean of the classes that have ground truth.

    Args:
        truth: Result of :func:`index_truth`.
        results: In COCO's format, with masks, at least one.

    Returns:
        Precision at recalls 0, 0.01, ..., 1, (101,) in [0, 1], by mask IoU: 0.5 and 0.75.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = _accumulated(truth, results, "segm")
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # IoU, recall, class; all sizes, 100 results
    thresholds = evaluation.params.iouThrs.tolist()
    known = [column for column in range(precision.shape[2]) if (precision[:, :, column] >= 0).any()]
    return {
        iou: precision[int(np.argmin(np.abs(np.asarray(thresholds) - iou)))][:, known].mean(1)
        for iou in (0.5, 0.75)
        if known
    }


def _accumulated(
    truth: COCO,
    results: Sequence[dict],
    task: str,
    max_dets: Sequence[int] | None = None,
    image_ids: Iterable | None = None,
) -> COCOeval:
    evaluation = COCOeval(truth, truth.loadRes(list(results)), task)
    if max_dets is not None:
        evaluation.params.maxDets = list(max_dets)
    if image_ids is not None:
        evaluation.params.imgIds = list(image_ids)
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation
