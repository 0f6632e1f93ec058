"""Writes panoptic predictions in COCO's format and measures their quality."""

import itertools
import logging
import math
import tempfile
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from solo_d2.utils.atomic_file import write_bytes
from solo_d2.utils.json_file import read_json, write_json
from solo_d2.utils.output_paths import output_paths
from solo_d2.utils.panoptic_png import VOID, encode_ids

from .panoptic_quality import GROUPS, panoptic_quality

logger = logging.getLogger(__name__)

_SUFFIXES = {"All": "", "Things": "_th", "Stuff": "_st"}
_MEASURES = ("pq", "sq", "rq")
PREDICTIONS = "predictions"


class PanopticEvaluator(DatasetEvaluator):
    """Measures PQ, SQ and RQ in percent over all classes, things, and stuff, and per class.

    The numbers equal those of Detectron2's ``COCOPanopticEvaluator``, which needs COCO's own package.
    Result files: ``predictions.json`` and the PNG folder ``predictions/`` next to it, where COCO's tools look
    for it.

    Args:
        dataset_name: Its metadata has "panoptic_json", "panoptic_root", both "*_dataset_id_to_contiguous_id",
            and perhaps "absent_ids" of classes that the annotation file lacks, whose segments become void,
            and "original_ids" for the JSON of the predictions.
        output_dir: Folder of the result files; None keeps none.
    """

    def __init__(self, dataset_name: str, output_dir: str | None = None):
        metadata = MetadataCatalog.get(dataset_name)
        self._truth_json = metadata.panoptic_json
        self._truth_folder = metadata.panoptic_root
        self._dataset_ids = {
            True: {v: k for k, v in metadata.thing_dataset_id_to_contiguous_id.items()},
            False: {v: k for k, v in metadata.stuff_dataset_id_to_contiguous_id.items()},
        }
        self._absent = frozenset(metadata.get("absent_ids", ()))
        self._original_ids = metadata.get("original_ids", {}).get("category_id", {})
        self._output_dir = output_dir
        self._predictions: list[dict] = []

    def reset(self) -> None:
        self._predictions = []

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Adds one batch.

        Args:
            inputs: Have "file_name" and "image_id".
            outputs: Have "panoptic_seg", (H, W) integer ids on any device, and a list of segments with "id",
                "isthing" and "category_id".
        """
        for image, output in zip(inputs, outputs, strict=True):
            panoptic, segments = output["panoptic_seg"]
            ids = panoptic.cpu().numpy()
            records = [self._record(segment) for segment in segments]
            absent = [record["id"] for record in records if record["category_id"] in self._absent]
            if absent:
                ids = np.where(np.isin(ids, absent), VOID, ids)
            # The format has no empty segments: a segment that the merge left without pixels is not written.
            present = set(np.unique(ids).tolist())
            self._predictions.append(
                {
                    "image_id": image["image_id"],
                    "file_name": f"{Path(image['file_name']).stem}.png",
                    "segments_info": [record for record in records if record["id"] in present],
                    "png": encode_ids(ids),
                }
            )

    def _record(self, segment: dict) -> dict:
        """Returns one segment's JSON record, with the data set's category id instead of the model's."""
        category = self._dataset_ids[bool(segment["isthing"])][segment["category_id"]]
        kept = {key: value for key, value in segment.items() if key != "isthing"}
        return {**kept, "category_id": category}

    def evaluate(self) -> OrderedDict | None:
        """Returns {"panoptic_seg": {"PQ", "SQ", "RQ", "PQ_th", ..., "RQ_st", "PQ-<class>", ...}}.

        Images that no process was given do not count. A group or class that never occurs is NaN.
        Processes other than the main one return nothing.
        """
        comm.synchronize()
        gathered = comm.gather(self._predictions)
        if not comm.is_main_process():
            return None
        predictions = list(itertools.chain.from_iterable(gathered))
        truth = read_json(self._truth_json, "panoptic annotation file")
        with ExitStack() as stack:
            folder = self._output_dir
            if folder is None:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="panoptic_"))
            quality = panoptic_quality(
                truth,
                _write_predictions(Path(folder), predictions, truth, self._original_ids),
                self._truth_folder,
                Path(folder) / PREDICTIONS,
                image_ids={p["image_id"] for p in predictions},
            )
        logger.info("Panoptic Evaluation Results:\n%s", group_table(quality))
        logger.info("Panoptic quality per class:\n%s", class_table(quality, truth["categories"]))
        return OrderedDict(panoptic_seg=_in_percent(quality, truth["categories"]))


def _write_predictions(
    folder: Path, predictions: list[dict], truth: dict, original_ids: Mapping[int, Any]
) -> list[dict]:
    """Writes PNG files, then the JSON, which is the annotation file's with the returned "annotations".

    The JSON's categories have their original ids. Images of one name in several folders get PNG files of
    different names.
    """
    records = []
    targets = output_paths(folder / PREDICTIONS, (p["file_name"] for p in predictions))
    for target, prediction in zip(targets, predictions, strict=True):
        write_bytes(target, prediction["png"], sync=False)
        kept = {key: value for key, value in prediction.items() if key != "png"}
        records.append({**kept, "file_name": target.name})

    def restored(record: dict, key: str) -> dict:
        return {**record, key: original_ids.get(record[key], record[key])}

    written = {
        **truth,
        "categories": [restored(category, "id") for category in truth["categories"]],
        "annotations": [
            {**record, "segments_info": [restored(s, "category_id") for s in record["segments_info"]]}
            for record in records
        ],
    }
    write_json(folder / f"{PREDICTIONS}.json", written)
    return records


def _in_percent(quality: dict, categories: list[dict]) -> dict[str, float]:
    results = {
        f"{measure.upper()}{_SUFFIXES[group]}": 100 * quality[group][measure]
        for group in GROUPS
        for measure in _MEASURES
    }
    for category in categories:
        own = quality["per_class"][category["id"]]
        name = category["name"]
        if f"PQ-{name}" in results:  # a thing and a stuff class may have one name
            name = f"{name} ({category['id']})"
        for measure in _MEASURES:
            results[f"{measure.upper()}-{name}"] = 100 * own[measure] if own["n"] else math.nan
    return results


def group_table(quality: dict) -> str:
    """Formats :func:`panoptic_quality`'s result as Detectron2's table."""
    rows = [
        [group, *(100 * quality[group][measure] for measure in _MEASURES), quality[group]["n"]]
        for group in GROUPS
    ]
    return _table(rows, ["", "PQ", "SQ", "RQ", "#categories"])


def class_table(quality: dict, categories: list[dict]) -> str:
    """Formats one row per class that occurs."""
    rows = []
    for category in categories:
        own = quality["per_class"][category["id"]]
        if own["n"]:
            rows.append([category["name"], *(100 * own[measure] for measure in _MEASURES)])
    return _table(rows, ["class", "PQ", "SQ", "RQ"])


def _table(rows: list[list], headers: list[str]) -> str:
    return tabulate(
        rows, headers=headers, tablefmt="pipe", floatfmt=".3f", stralign="center", numalign="center"
    )
