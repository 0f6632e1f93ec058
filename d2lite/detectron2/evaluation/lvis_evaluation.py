"""LVIS's average precision: classes not verified in an image are neither right nor wrong there."""

import itertools
from collections import defaultdict
from typing import Any

import numpy as np

from .coco_evaluation import COCOEvaluator, _mean_precision, _percent, faster_coco_eval

_DEFAULT_MAX_DETS = 300
_FREQUENCIES = {"APr": "r", "APc": "c", "APf": "f"}


class LVISEvaluator(COCOEvaluator):
    """AP of boxes and masks on LVIS, also for rare, common and frequent classes.

    The computation is faster-coco-eval's.

    Args:
        dataset_name: A registered dataset whose metadata has "json_file" in LVIS's format.
        tasks: "bbox", "segm" or both; None means every task that the predictions allow.
        distributed: Collect the predictions of all processes.
        output_dir: Folder for ``instances_predictions.pth`` and ``lvis_instances_results.json``.
        max_dets_per_image: Best-scored predictions that count per image; None means 300.

    Raises:
        ImportError: faster-coco-eval is not installed.
    """

    _results_file = "lvis_instances_results.json"

    def __init__(
        self,
        dataset_name: str,
        tasks: tuple[str, ...] | None = None,
        distributed: bool = True,
        output_dir: str | None = None,
        *,
        max_dets_per_image: int | None = None,
    ):
        if faster_coco_eval is None:
            raise ImportError("LVISEvaluator needs faster-coco-eval: pip install faster-coco-eval")
        super().__init__(
            dataset_name,
            tasks,
            distributed,
            output_dir,
            max_dets_per_image=max_dets_per_image or _DEFAULT_MAX_DETS,
        )

    def evaluate(self) -> dict[str, Any]:  # type: ignore[override]
        """As ``COCOEvaluator.evaluate``, with "APr", "APc", "APf" instead of numbers per class."""
        return super().evaluate()

    def _run(self, results: list[dict], task: str, img_ids: list[int] | None) -> Any:
        detections = self._coco_api.loadRes(_best_per_image(results, self._max_dets))
        coco_eval = faster_coco_eval.COCOeval_faster(self._coco_api, detections, task, lvis_style=True)
        coco_eval.params.maxDets = [self._max_dets]
        coco_eval.evaluate()
        coco_eval.accumulate()
        return coco_eval

    def _summarize(self, coco_eval: Any, task: str) -> dict[str, float]:
        frequencies = [category["frequency"] for category in self._coco_api.loadCats(coco_eval.params.catIds)]
        precision = coco_eval.eval["precision"][:, :, :, 0, -1]
        results = {name: _mean_precision(coco_eval, iou, area) for name, (iou, area) in self._metrics.items()}
        for name, frequency in _FREQUENCIES.items():
            results[name] = _percent(precision[:, :, np.array(frequencies) == frequency])
        self._log_table(results, task)
        return results


def _best_per_image(results: list[dict], limit: int) -> list[dict]:
    """Keeps the ``limit`` best-scored predictions of each image, over all classes."""
    per_image = defaultdict(list)
    for result in results:
        per_image[result["image_id"]].append(dict(result))
    best = (sorted(r, key=lambda x: -x["score"])[:limit] for r in per_image.values())
    return list(itertools.chain.from_iterable(best))
