"""Detectron2's evaluators of instances: masks encoded by this project's operator, unread images left out."""

import contextlib
import io
import logging
import os
from collections.abc import Iterable
from typing import Any

import detectron2.evaluation
from detectron2.structures import Instances
from detectron2.utils import comm
from solo_d2.utils.json_file import read_json, write_json

from .coco_rows import instances_to_coco_json, restore_ids

logger = logging.getLogger(__name__)
RESULTS_FILE = "coco_instances_results.json"


class _MaskEncoder:
    """Takes a model's outputs in place of the evaluator it is mixed into; the rest is that evaluator's."""

    _predictions: list[dict]
    _logger: logging.Logger

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Keeps predictions as rows of COCO's results format.

        Args:
            inputs: With "image_id".
            outputs: With "instances"; those with other kinds of predictions go to Detectron2.
        """
        for image, output in zip(inputs, outputs, strict=True):
            if "proposals" in output or not _has_only_boxes_and_masks(output.get("instances")):
                super().process([image], [output])  # type: ignore[misc]  # of the evaluator that follows
                continue
            rows = instances_to_coco_json(output["instances"].to("cpu"), image["image_id"])
            self._predictions.append({"image_id": image["image_id"], "instances": rows})

    def evaluate(self, *arguments: Any, **options: Any) -> dict:
        """Computes the metrics; what pycocotools prints goes where Detectron2 logs its tables."""
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            metrics = super().evaluate(*arguments, **options)  # type: ignore[misc]  # of the evaluator that follows
        if text := printed.getvalue().rstrip():
            self._logger.info("%s", text)
        return metrics


def _has_only_boxes_and_masks(instances: Instances | None) -> bool:
    return instances is not None and not instances.has("pred_keypoints")


class InstanceEvaluator(_MaskEncoder, detectron2.evaluation.COCOEvaluator):
    """``COCOEvaluator`` in which images that it was not given do not count.

    Detectron2's own counts all objects of such images as missed. The results file has the ids of the user's
    annotation file, where the data set's records were renumbered.
    """

    def reset(self) -> None:
        """Discards all processed images."""
        super().reset()
        self._seen: set = set()

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Adds model inputs with "image_id" and outputs with "instances"."""
        self._seen.update(image["image_id"] for image in inputs)
        super().process(inputs, outputs)

    def evaluate(self, img_ids: list | None = None) -> dict:
        """Computes the metrics.

        Args:
            img_ids: Images that count; default those that any process was given.
        """
        seen = gather_ids(self._seen)
        metrics = super().evaluate(seen if img_ids is None else img_ids)
        original_ids = self._metadata.get("original_ids")
        if original_ids and seen and self._output_dir and comm.is_main_process():
            path = os.path.join(self._output_dir, RESULTS_FILE)
            write_json(path, restore_ids(read_json(path, "results file"), original_ids))
        if not self._do_evaluation and comm.is_main_process():
            report_no_truth(self._metadata.json_file, self._output_dir)
        return metrics


def report_no_truth(json_file: str, output_dir: str | None) -> None:
    """Logs that a data set has no annotations, and where its predictions are."""
    place = f"; the predictions are in {os.path.join(output_dir, RESULTS_FILE)}" if output_dir else ""
    logger.warning("%s has no annotations, so there is no ground truth to score against%s", json_file, place)


class LVISEvaluator(_MaskEncoder, detectron2.evaluation.LVISEvaluator):
    """Detectron2's, with the same results."""


def gather_ids(own: Iterable) -> list:
    """Returns the image ids of all processes, each once."""
    return list(set().union(*comm.all_gather(set(own))))
