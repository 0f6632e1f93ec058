"""COCO's own evaluation, pycocotools, without what it prints."""

import contextlib
import io
import math
from collections.abc import Mapping, Sequence

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def index_truth(content: Mapping) -> COCO:
    """Indexes a COCO annotation set.

    Args:
        content: The parsed file; used as it is, without a copy of its lists.
    """
    truth = COCO()
    truth.dataset = {"info": {}, **content}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth


def coco_statistics(
    truth: COCO, results: Sequence[dict], task: str, max_dets: Sequence[int] | None = None
) -> list[float]:
    """Measures results.

    Args:
        truth: Of :func:`index_truth`.
        results: In COCO's format, at least one.
        task: "bbox" or "segm".
        max_dets: Three numbers of results that count per image; default COCO's 1, 10 and 100.

    Returns:
        COCO's twelve numbers, AP first, in percent; NaN where there is no ground truth of that size.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(list(results)), task)
        if max_dets is not None:
            evaluation.params.maxDets = list(max_dets)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [100 * float(value) if value >= 0 else math.nan for value in evaluation.stats]
