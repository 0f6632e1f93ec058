"""Intersection over union and accuracy of semantic segmentation, per class and on average."""

import itertools
import json
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from PIL import Image

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.comm import all_gather, is_main_process, synchronize
from detectron2.utils.file_io import PathManager

from .evaluator import DatasetEvaluator, write_file


def load_image_into_numpy_array(filename: str, dtype: Any = None) -> np.ndarray:
    """Reads a label map (H, W)."""
    with PathManager.open(filename, "rb") as f:
        return np.array(Image.open(f), dtype=dtype)


class SemSegEvaluator(DatasetEvaluator):
    """mIoU, frequency-weighted IoU, mean class accuracy and pixel accuracy, in percent.

    Args:
        dataset_name: A registered dataset with "sem_seg_file_name" in its records; its metadata has
            "stuff_classes", and optionally "ignore_label" and "stuff_dataset_id_to_contiguous_id".
        distributed: Add up all processes; False evaluates the images of this process.
        output_dir: Folder for ``sem_seg_evaluation.pth`` and ``sem_seg_predictions.json``.
        sem_seg_loading_fn: Maps a file name and a dtype to a label map (H, W).
        num_classes: Must equal the number of stuff_classes if given.
        ignore_label: Label of pixels that do not count; None means the metadata's, or else 255.
    """

    def __init__(
        self,
        dataset_name: str,
        distributed: bool = True,
        output_dir: str | None = None,
        *,
        sem_seg_loading_fn: Callable[..., np.ndarray] = load_image_into_numpy_array,
        num_classes: int | None = None,
        ignore_label: int | None = None,
    ):
        self._logger = logging.getLogger(__name__)
        metadata = MetadataCatalog.get(dataset_name)
        self._distributed = distributed
        self._output_dir = output_dir
        self._load = sem_seg_loading_fn
        self._ground_truth_files = {
            record["file_name"]: record["sem_seg_file_name"] for record in DatasetCatalog.get(dataset_name)
        }
        self._class_names = metadata.stuff_classes
        self._num_classes = num_classes or len(metadata.stuff_classes)
        assert self._num_classes == len(self._class_names), (
            f"num_classes is {num_classes}, the dataset has {len(self._class_names)} stuff_classes."
        )
        self._ignore_label = metadata.get("ignore_label", 255) if ignore_label is None else ignore_label
        id_map = metadata.get("stuff_dataset_id_to_contiguous_id") or {}
        self._dataset_ids = {contiguous: id_ for id_, contiguous in id_map.items()}
        self.reset()

    def reset(self) -> None:
        """Clears the confusion matrix: rows are predictions, columns truths, the last of both ignored."""
        self._conf_matrix = np.zeros((self._num_classes + 1,) * 2, dtype=np.int64)
        self._predictions: list[dict] = []

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Counts one batch.

        Args:
            inputs: Have "file_name".
            outputs: Have "sem_seg", scores (C, H, W).
        """
        n = self._num_classes + 1
        for image, output in zip(inputs, outputs, strict=True):
            predicted = output["sem_seg"].argmax(dim=0).cpu().numpy().astype(np.int64)
            truth_file = self._ground_truth_files[image["file_name"]]
            truth = self._load(truth_file, dtype=np.int64)
            truth = np.where(truth == self._ignore_label, self._num_classes, truth)
            pairs = n * predicted.reshape(-1) + truth.reshape(-1)
            self._conf_matrix += np.bincount(pairs, minlength=n * n).reshape(n, n)
            self._predictions.extend(self.encode_json_sem_seg(predicted, image["file_name"]))

    def evaluate(self) -> OrderedDict | None:
        """Returns {"sem_seg": {"mIoU", "fwIoU", "mACC", "pACC", "IoU-<class>", "ACC-<class>"}}.

        Classes absent from the truth are NaN and do not count in the means, even if predicted.
        """
        conf_matrix, predictions = self._conf_matrix, self._predictions
        if self._distributed:
            synchronize()
            conf_matrix = np.sum(all_gather(conf_matrix), axis=0)
            predictions = list(itertools.chain.from_iterable(all_gather(predictions)))
            if not is_main_process():
                return None
        if self._output_dir:
            write_file(self._output_dir, "sem_seg_predictions.json", "w", lambda f: json.dump(predictions, f))
        results: OrderedDict = OrderedDict(sem_seg=self._metrics(conf_matrix))
        if self._output_dir:
            write_file(self._output_dir, "sem_seg_evaluation.pth", "wb", lambda f: torch.save(results, f))
        self._logger.info(results)
        return results

    def _metrics(self, conf_matrix: np.ndarray) -> dict[str, float]:
        counts = conf_matrix[:-1, :-1].astype(np.float64)
        correct, truth = counts.diagonal(), counts.sum(axis=0)
        union = truth + counts.sum(axis=1) - correct
        seen = truth > 0
        with np.errstate(divide="ignore", invalid="ignore"):
            accuracy = np.where(seen, correct / truth, np.nan)
            iou = np.where(seen, correct / union, np.nan)
        metrics = {
            "mIoU": _mean(iou[seen]),
            "fwIoU": float(np.sum(iou[seen] * truth[seen] / truth.sum())) if seen.any() else np.nan,
            "mACC": _mean(accuracy[seen]),
            "pACC": float(correct.sum() / truth.sum()) if seen.any() else np.nan,
        }
        for name, class_iou, class_accuracy in zip(self._class_names, iou, accuracy, strict=True):
            metrics[f"IoU-{name}"] = class_iou
            metrics[f"ACC-{name}"] = class_accuracy
        return {name: float(100 * value) for name, value in metrics.items()}

    def encode_json_sem_seg(self, sem_seg: np.ndarray, input_file_name: str) -> list[dict]:
        """Converts a label map (H, W) to COCO's stuff results: one RLE per present class."""
        results = []
        for label in np.unique(sem_seg):
            rle = mask_util.encode(np.asfortranarray(sem_seg == label, dtype=np.uint8))
            results.append(
                {
                    "file_name": input_file_name,
                    "category_id": int(self._dataset_ids.get(int(label), label)),
                    "segmentation": {"size": rle["size"], "counts": rle["counts"].decode("ascii")},
                }
            )
        return results


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
