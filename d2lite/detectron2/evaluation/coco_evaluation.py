"""COCO's average precision of boxes and masks."""

import contextlib
import copy
import io
import itertools
import json
import logging
import os
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tabulate import tabulate

from detectron2.data import MetadataCatalog
from detectron2.structures import BoxMode, Instances
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import create_small_table

from .evaluator import DatasetEvaluator, write_file

try:
    import faster_coco_eval
except ImportError:
    faster_coco_eval = None


_DEFAULT_MAX_DETS = 100
_METRICS: dict[str, tuple[float | None, str]] = {  # (IoU threshold, None: mean over all; area range)
    "AP": (None, "all"),
    "AP50": (0.5, "all"),
    "AP75": (0.75, "all"),
    "APs": (None, "small"),
    "APm": (None, "medium"),
    "APl": (None, "large"),
}


class COCOEvaluator(DatasetEvaluator):
    """AP of boxes ("bbox") and masks ("segm").

    Args:
        dataset_name: A registered dataset whose metadata has "json_file" in COCO's format.
        tasks: "bbox", "segm" or both; None means every task that the predictions allow.
        distributed: Collect the predictions of all processes; False evaluates those of this process.
        output_dir: Folder for ``instances_predictions.pth`` and ``coco_instances_results.json``.
        max_dets_per_image: Best-scored predictions that count per image and class; None means 100.
        use_fast_impl: Use faster-coco-eval if it is installed; the numbers are the same.

    Raises:
        ValueError: The dataset has no "json_file".
    """

    _results_file = "coco_instances_results.json"
    _metrics = _METRICS

    def __init__(
        self,
        dataset_name: str,
        tasks: tuple[str, ...] | None = None,
        distributed: bool = True,
        output_dir: str | None = None,
        *,
        max_dets_per_image: int | None = None,
        use_fast_impl: bool = True,
    ):
        self._logger = logging.getLogger(__name__)
        self._tasks = tasks
        self._distributed = distributed
        self._output_dir = output_dir
        self._max_dets = max_dets_per_image or _DEFAULT_MAX_DETS
        self._cpu_device = torch.device("cpu")
        self._use_fast_impl = use_fast_impl and faster_coco_eval is not None
        if use_fast_impl and faster_coco_eval is None:
            self._logger.info("faster-coco-eval is not installed; evaluating with pycocotools.")
        self._metadata = MetadataCatalog.get(dataset_name)
        if self._metadata.get("json_file") is None:
            raise ValueError(
                f"Dataset '{dataset_name}' has no json_file in its metadata: d2lite evaluates COCO files "
                "only. Save the dataset in COCO's format, or install the real Detectron2."
            )
        with contextlib.redirect_stdout(io.StringIO()):
            api = faster_coco_eval.COCO if self._use_fast_impl else COCO
            self._coco_api = api(PathManager.get_local_path(self._metadata.json_file))
        self._do_evaluation = "annotations" in self._coco_api.dataset
        self.reset()

    def reset(self) -> None:
        self._predictions: list[dict] = []

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Stores one batch of predictions, with masks as RLE.

        Args:
            inputs: Have "image_id".
            outputs: Have "instances" with scores, pred_classes, and pred_boxes and/or pred_masks.
        """
        for image, output in zip(inputs, outputs, strict=True):
            if "instances" in output:
                instances = output["instances"].to(self._cpu_device)
                encoded = instances_to_coco_json(instances, image["image_id"])
                self._predictions.append({"image_id": image["image_id"], "instances": encoded})

    def evaluate(self, img_ids: list[int] | None = None) -> dict[str, Any]:
        """Computes the metrics.

        Args:
            img_ids: Evaluate only these images; None means all.

        Returns:
            In the main process {task: {"AP", "AP50", "AP75", "APs", "APm", "APl", "AP-<class>"}} in
            percent, NaN for undefined values; {} in other processes.
        """
        predictions = self._gather()
        if predictions is None:
            return {}
        if not predictions:
            self._logger.warning(f"[{type(self).__name__}] Did not receive valid predictions.")
            return {}
        if self._output_dir:
            write_file(
                self._output_dir, "instances_predictions.pth", "wb", lambda f: torch.save(predictions, f)
            )
        results = list(itertools.chain.from_iterable(p["instances"] for p in predictions))
        tasks = self._tasks or _tasks_of(results)
        self._to_dataset_categories(results)
        if self._output_dir:
            self._logger.info(f"Saving results to {os.path.join(self._output_dir, self._results_file)}")
            write_file(self._output_dir, self._results_file, "w", lambda f: json.dump(results, f))
        if not self._do_evaluation:
            self._logger.info("Annotations are not available for evaluation.")
            return {}
        return OrderedDict((task, self._evaluate_task(task, results, img_ids)) for task in tasks)

    def _gather(self) -> list[dict] | None:
        """Returns the predictions of all processes, or None in processes that do not evaluate."""
        if not self._distributed:
            return self._predictions
        comm.synchronize()
        gathered = comm.gather(self._predictions, dst=0)
        return list(itertools.chain(*gathered)) if comm.is_main_process() else None

    def _to_dataset_categories(self, results: list[dict]) -> None:
        """Replaces class indices with the dataset's category ids, in place."""
        id_map = self._metadata.get("thing_dataset_id_to_contiguous_id")
        if id_map is None:
            return
        dataset_ids = {contiguous: id_ for id_, contiguous in id_map.items()}
        for result in results:
            category = result["category_id"]
            assert category in dataset_ids, (
                f"A prediction has class={category}, but the dataset has {len(dataset_ids)} classes: "
                f"the class must be in [0, {len(dataset_ids) - 1}]."
            )
            result["category_id"] = dataset_ids[category]

    def _evaluate_task(self, task: str, results: list[dict], img_ids: list[int] | None) -> dict[str, float]:
        key = {"bbox": "bbox", "segm": "segmentation"}.get(task)
        if key is None:
            raise ValueError(f"Unknown evaluation task '{task}': expected 'bbox' or 'segm'.")
        results = [r for r in results if key in r]
        if not results:
            self._logger.warning(f"No predictions from the model for {task}!")
            return {metric: float("nan") for metric in self._metrics}
        if task == "segm":  # with boxes present, COCOeval would take areas from them
            results = [{k: v for k, v in r.items() if k != "bbox"} for r in results]
        return self._summarize(self._run(results, task, img_ids), task)

    def _run(self, results: list[dict], task: str, img_ids: list[int] | None) -> Any:
        """Returns the COCOeval of one task after ``accumulate``."""
        lines: list[str] = []
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            detections = self._coco_api.loadRes(copy.deepcopy(results))
            if self._use_fast_impl:
                coco_eval = faster_coco_eval.COCOeval_faster(
                    self._coco_api, detections, task, print_function=lines.append
                )
            else:
                coco_eval = COCOeval(self._coco_api, detections, task)
            coco_eval.params.maxDets = [n for n in (1, 10) if n < self._max_dets] + [self._max_dets]
            if img_ids is not None:
                coco_eval.params.imgIds = img_ids
            coco_eval.evaluate()
            coco_eval.accumulate()
            printed.truncate(0)
            printed.seek(0)
            lines.clear()
            if self._max_dets == _DEFAULT_MAX_DETS:  # COCO's own summary supports no other number
                coco_eval.summarize()
                lines.append(printed.getvalue().rstrip())
        if lines:
            self._logger.info(f"Summary of {task}:\n" + "\n".join(x for x in lines if x))
        return coco_eval

    def _summarize(self, coco_eval: Any, task: str) -> dict[str, float]:
        results = {name: _mean_precision(coco_eval, iou, area) for name, (iou, area) in self._metrics.items()}
        self._log_table(results, task)
        names = self._metadata.get("thing_classes")
        if names is None or len(names) <= 1:
            return results
        precisions = _precision_per_class(coco_eval)
        assert len(names) == len(precisions), (
            f"The dataset has {len(precisions)} categories, its metadata {len(names)} class names."
        )
        per_class = dict(zip(names, precisions, strict=True))
        self._logger.info(f"Per-category {task} AP:\n" + _table_of_classes(per_class))
        results.update({f"AP-{name}": ap for name, ap in per_class.items()})
        return results

    def _log_table(self, results: dict[str, float], task: str) -> None:
        self._logger.info(f"Evaluation results for {task}:\n" + create_small_table(results))
        if any(np.isnan(x) for x in results.values()):
            self._logger.info("nan: the dataset has no object (of that size) for this metric.")


def instances_to_coco_json(instances: Instances, img_id: int) -> list[dict]:
    """Converts predictions of one image to COCO's results format.

    Args:
        instances: On the CPU, with scores, pred_classes and pred_boxes (absolute x1, y1, x2, y2)
            and/or pred_masks (N, H, W) bool.
        img_id: Id of the image.

    Returns:
        One dict per instance: image_id, category_id (the class index), score, "bbox" (x, y, w, h)
        if there are boxes, "segmentation" (RLE) if there are masks.
    """
    scores, classes = instances.scores.tolist(), instances.pred_classes.tolist()
    results: list[dict[str, Any]] = [
        {"image_id": img_id, "category_id": category, "score": score}
        for category, score in zip(classes, scores, strict=True)
    ]
    if instances.has("pred_boxes"):
        boxes = BoxMode.convert(instances.pred_boxes.tensor, BoxMode.XYXY_ABS, BoxMode.XYWH_ABS).tolist()
        for result, box in zip(results, boxes, strict=True):
            result["bbox"] = box
    if instances.has("pred_masks") and results:
        for result, rle in zip(results, _encode_masks(instances.pred_masks), strict=True):
            result["segmentation"] = rle
    return results


def _encode_masks(masks: Any) -> list[dict]:
    """Encodes (N, H, W) masks as compressed RLE that JSON can hold."""
    masks = torch.as_tensor(getattr(masks, "tensor", masks))
    columns_first = masks.to(torch.uint8).transpose(1, 2).contiguous().numpy()
    rles = mask_util.encode(columns_first.transpose(2, 1, 0))
    return [{"size": rle["size"], "counts": rle["counts"].decode("ascii")} for rle in rles]


def _tasks_of(results: list[dict]) -> list[str]:
    """Returns the tasks that the predictions allow; boxes if there are no predictions."""
    tasks = [
        task
        for task, key in (("bbox", "bbox"), ("segm", "segmentation"))
        if any(key in result for result in results)
    ]
    return tasks or ["bbox"]


def _percent(precision: np.ndarray) -> float:
    """Returns the mean of the defined entries (COCO marks the others with -1), in percent."""
    precision = precision[precision > -1]
    return float(precision.mean() * 100) if precision.size else float("nan")


def _mean_precision(coco_eval: Any, iou: float | None, area: str) -> float:
    params = coco_eval.params
    precision = coco_eval.eval["precision"]  # IoU x recall x class x area x maxDets
    if iou is not None:
        precision = precision[np.isclose(params.iouThrs, iou)]
    return _percent(precision[:, :, :, params.areaRngLbl.index(area), -1])


def _precision_per_class(coco_eval: Any) -> list[float]:
    precision = coco_eval.eval["precision"][:, :, :, 0, -1]
    return [_percent(precision[:, :, index]) for index in range(precision.shape[2])]


def _table_of_classes(per_class: dict[str, float]) -> str:
    """Formats a number per class as a table with up to three classes per row."""
    side_by_side = min(3, len(per_class))
    cells: list[Any] = list(itertools.chain.from_iterable(per_class.items()))
    width = 2 * side_by_side
    rows: Iterable = itertools.zip_longest(*(cells[i::width] for i in range(width)))
    return tabulate(
        rows, tablefmt="pipe", floatfmt=".3f", headers=["category", "AP"] * side_by_side, numalign="left"
    )
