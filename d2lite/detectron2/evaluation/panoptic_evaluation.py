"""Panoptic quality by COCO's own package, `panopticapi`, which PyPI does not have."""

import contextlib
import io
import itertools
import json
import logging
import os
import tempfile
from collections import OrderedDict

import numpy as np
from PIL import Image
from tabulate import tabulate

from detectron2.data import MetadataCatalog
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager

from .evaluator import DatasetEvaluator, write_file

logger = logging.getLogger(__name__)

_GROUPS = {"All": "", "Things": "_th", "Stuff": "_st"}


class COCOPanopticEvaluator(DatasetEvaluator):
    """PQ, SQ and RQ in percent; needs the package `panopticapi`.

    Args:
        dataset_name: its metadata has "panoptic_json", "panoptic_root" and both
            "*_dataset_id_to_contiguous_id".
        output_dir: folder for `predictions.json`.
    """

    def __init__(self, dataset_name: str, output_dir: str | None = None):
        self._metadata = metadata = MetadataCatalog.get(dataset_name)
        self._dataset_ids = {
            True: {v: k for k, v in metadata.thing_dataset_id_to_contiguous_id.items()},
            False: {v: k for k, v in metadata.stuff_dataset_id_to_contiguous_id.items()},
        }
        self._output_dir = output_dir
        self._predictions = []

    def reset(self) -> None:
        self._predictions = []

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Takes one batch.

        Args:
            inputs: have "file_name" and "image_id".
            outputs: have "panoptic_seg": (h, w) segment ids, and a list of segments with "id",
                "category_id" and, unless that is the dataset's own, "isthing".
        """
        from panopticapi.utils import id2rgb

        for image, output in zip(inputs, outputs, strict=True):
            ids, segments = output["panoptic_seg"]
            stem = os.path.splitext(os.path.basename(image["file_name"]))[0]
            with io.BytesIO() as out:
                Image.fromarray(id2rgb(np.asarray(ids.cpu()))).save(out, format="PNG")
                png = out.getvalue()
            self._predictions.append(
                {
                    "image_id": image["image_id"],
                    "file_name": f"{stem}.png",
                    "png_string": png,
                    "segments_info": [self._with_dataset_id(dict(x)) for x in segments],
                }
            )

    def _with_dataset_id(self, segment: dict) -> dict:
        is_thing = segment.pop("isthing", None)
        if is_thing is not None:
            segment["category_id"] = self._dataset_ids[is_thing][segment["category_id"]]
        return segment

    def evaluate(self) -> OrderedDict | None:
        """Returns {"panoptic_seg": {"PQ", "SQ", "RQ", "PQ_th", ..., "RQ_st"}}."""
        comm.synchronize()
        predictions = list(itertools.chain(*comm.gather(self._predictions)))
        if not comm.is_main_process():
            return None
        from panopticapi.evaluation import pq_compute

        truth_json = PathManager.get_local_path(self._metadata.panoptic_json)
        with open(truth_json) as f:
            content = json.load(f)
        with tempfile.TemporaryDirectory(prefix="panoptic_eval") as folder:
            for prediction in predictions:
                with open(os.path.join(folder, prediction["file_name"]), "wb") as f:
                    f.write(prediction.pop("png_string"))
            content["annotations"] = predictions
            target = self._output_dir or folder
            write_file(target, "predictions.json", "w", lambda f: json.dump(content, f))
            with contextlib.redirect_stdout(io.StringIO()):
                quality = pq_compute(
                    truth_json,
                    os.path.join(target, "predictions.json"),
                    gt_folder=PathManager.get_local_path(self._metadata.panoptic_root),
                    pred_folder=folder,
                )
        rows = [[g, *(100 * quality[g][k] for k in ("pq", "sq", "rq")), quality[g]["n"]] for g in _GROUPS]
        table = tabulate(
            rows,
            headers=["", "PQ", "SQ", "RQ", "#categories"],
            tablefmt="pipe",
            floatfmt=".3f",
            stralign="center",
            numalign="center",
        )
        logger.info("Panoptic Evaluation Results:\n" + table)
        return OrderedDict(
            panoptic_seg={
                f"{k.upper()}{suffix}": 100 * quality[group][k]
                for group, suffix in _GROUPS.items()
                for k in ("pq", "sq", "rq")
            }
        )
