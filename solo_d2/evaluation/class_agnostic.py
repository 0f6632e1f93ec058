"""Class-agnostic evaluation of detection and segmentation (FreeSOLO, section 6.3.1).

COCO's metrics with all classes of ground truth and predictions merged into one. Crowds remain crowds: results
that match one do not count.
"""

import itertools
import logging
import os
from collections import OrderedDict
from collections.abc import Collection, Sequence

from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from solo_d2.utils.errors import InputError
from solo_d2.utils.json_file import read_json, write_json

from .coco_rows import instances_to_coco_json, restore_ids
from .coco_statistics import coco_statistics, index_truth
from .instance_evaluation import RESULTS_FILE, gather_ids, report_no_truth

logger = logging.getLogger(__name__)

# Name -> position in the statistics that COCO's summary computes for (1, 10, 100) results per image.
METRICS = {"AP": 0, "AP50": 1, "AP75": 2, "AR1": 6, "AR10": 7, "AR100": 8}
MAX_DETS = (1, 10, 100)
_FIELDS = {"bbox": "bbox", "segm": "segmentation"}
_OBJECT = 1  # the category of every annotation and result


class ClassAgnosticEvaluator(DatasetEvaluator):
    """Measures AP, AP50, AP75, and AR at 1, 10 and 100 results per image, of boxes and masks."""

    def __init__(
        self, dataset_name: str, tasks: Sequence[str] = ("bbox", "segm"), output_dir: str | None = None
    ):
        """
        Args:
            dataset_name: A registered data set whose metadata has "json_file" in COCO's format, with any
                classes.
            tasks: "bbox" and/or "segm".
            output_dir: Folder of ``coco_instances_results.json``; None writes no file.

        Raises:
            InputError: If the data set has no COCO file.
        """
        metadata = MetadataCatalog.get(dataset_name)
        json_file = metadata.get("json_file")
        if not json_file or not os.path.isfile(json_file):
            raise InputError(
                f"class_agnostic measures data sets with a COCO file, which {dataset_name} lacks "
                f"({json_file})"
            )
        self._tasks = tuple(tasks)
        self._output_dir = output_dir
        self._image_ids = {k: v for k, v in metadata.get("original_ids", {}).items() if k == "image_id"}
        self._json_file = json_file
        self._truth = read_truth(json_file)
        self.reset()

    def reset(self) -> None:
        """Discards all processed images."""
        self._results: list[dict] = []
        self._seen: set = set()

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Adds model inputs with "image_id" and outputs with "instances"."""
        for image, output in zip(inputs, outputs, strict=True):
            self._seen.add(image["image_id"])
            instances = output["instances"].to("cpu")
            self._results.extend(instances_to_coco_json(instances, image["image_id"]))

    def evaluate(self) -> dict:
        """Computes the metrics of all processes' results on their images.

        Returns:
            In the main process {task: {metric: percent}}, NaN without ground truth; in other processes {}.
        """
        comm.synchronize()
        gathered, seen = comm.gather(self._results, dst=0), gather_ids(self._seen)
        if not comm.is_main_process():
            return {}
        results = [{**r, "category_id": _OBJECT} for r in itertools.chain.from_iterable(gathered)]
        if self._output_dir:
            path = os.path.join(self._output_dir, RESULTS_FILE)
            write_json(path, restore_ids(results, self._image_ids))
        if not self._truth.dataset["annotations"]:
            report_no_truth(self._json_file, self._output_dir)
        measured = OrderedDict((task, measure(self._truth, results, task, seen)) for task in self._tasks)
        logger.info("Class-agnostic evaluation:\n%s", format_table(measured))
        return measured


def read_truth(json_file: str | os.PathLike) -> COCO:
    """Reads COCO annotations as one category; LVIS's annotations are read as COCO's without crowds.

    COCO's evaluation needs areas, so missing ones are measured.
    """
    content = read_json(json_file, "annotation file")
    annotations = [
        {"iscrowd": 0, **annotation, "category_id": _OBJECT} for annotation in content.get("annotations", [])
    ]
    categories = [{"id": _OBJECT, "name": "object"}]
    truth = index_truth({**content, "categories": categories, "annotations": annotations}, json_file)
    for annotation in annotations:
        if "area" not in annotation:
            annotation["area"] = _area(truth, annotation)
    return truth


def _area(truth: COCO, annotation: dict) -> float:
    """Returns the area of an annotation's mask in pixels; without a mask, that of its box."""
    if annotation.get("segmentation"):
        return float(coco_mask.area(truth.annToRLE(annotation)))
    _, _, width, height = annotation["bbox"]
    return float(width * height)


def measure(
    truth: COCO, results: Sequence[dict], task: str, image_ids: Collection | None = None
) -> dict[str, float]:
    """Measures results of one category.

    Args:
        truth: Result of :func:`read_truth`.
        results: In COCO's format, with boxes for "bbox" and masks for "segm".
        task: "bbox" or "segm".
        image_ids: Images that count; by default all.

    Returns:
        {metric: percent} for ``METRICS``; 0 without results, NaN without ground truth.
    """
    # With a box next to the mask, COCO's evaluation would take the areas from the boxes.
    keys = ("image_id", "category_id", "score", _FIELDS[task])
    results = [{key: r[key] for key in keys} for r in results if _FIELDS[task] in r]
    if not results:
        annotations = truth.dataset["annotations"]
        objects = any(
            not a["iscrowd"] and (image_ids is None or a["image_id"] in image_ids) for a in annotations
        )
        return dict.fromkeys(METRICS, 0.0 if objects else float("nan"))
    statistics = coco_statistics(truth, results, task, MAX_DETS, image_ids)
    return {name: statistics[index] for name, index in METRICS.items()}


def format_table(measured: dict[str, dict[str, float]]) -> str:
    """Formats the results of :meth:`ClassAgnosticEvaluator.evaluate`, one row for masks and one for boxes."""
    lines = [" " * 5 + "".join(f"{metric:>7}" for metric in METRICS)]
    for task, name in (("segm", "mask"), ("bbox", "box")):
        if task in measured:
            lines.append(f"{name:<5}" + "".join(f"{measured[task][metric]:7.2f}" for metric in METRICS))
    return "\n".join(lines)
