"""Selection of a dataset's evaluator."""

import sys
from collections.abc import Sequence

import numpy as np

from detectron2.data import MetadataCatalog
from detectron2.evaluation import (
    DatasetEvaluator,
    DatasetEvaluators,
    SemSegEvaluator,
)
from solo_d2.utils.errors import InputError

from .class_agnostic import ClassAgnosticEvaluator
from .instance_evaluation import InstanceEvaluator, LVISEvaluator
from .nearest_neighbors import NearestNeighborEvaluator
from .panoptic_evaluation import PanopticEvaluator

INSTANCE_TASKS = ("bbox", "segm")
# LVIS counts this many results per image over all classes (Gupta et al., CVPR 2019).
LVIS_MAX_DETS = 300


def build_evaluator(
    dataset_name: str,
    output_folder: str,
    max_dets_per_image: int = 100,
    tasks: Sequence[str] = INSTANCE_TASKS,
    class_agnostic: bool = False,
) -> DatasetEvaluator:
    """Returns the evaluator for a dataset, chosen by its metadata's ``evaluator_type``.

    "coco" and "lvis" measure boxes and masks, "sem_seg" the semantic map, and "coco_panoptic_seg" panoptic
    quality. Panoptic data whose metadata names an instance annotation file ("json_file") or a folder of
    semantic maps ("sem_seg_root") has those measured too. "class_folders" are told apart by a backbone's
    embeddings.

    Args:
        dataset_name: A registered dataset.
        output_folder: Where result files go; evaluation makes it.
        max_dets_per_image: Results that count per image, best first (COCO's rule: 100; LVIS has
            its own).
        tasks: What is measured of instances, "bbox" and/or "segm".
        class_agnostic: Measure nothing but instances, all classes being one; any data set with a COCO file.

    Raises:
        InputError: If nothing can measure such a dataset.
    """
    if class_agnostic:
        return ClassAgnosticEvaluator(dataset_name, tasks, output_folder)
    metadata = MetadataCatalog.get(dataset_name)
    kind = metadata.get("evaluator_type")
    panoptic = kind == "coco_panoptic_seg"
    evaluators: list[DatasetEvaluator] = []
    if kind == "coco" or (panoptic and metadata.get("json_file")):
        evaluators.append(
            InstanceEvaluator(
                dataset_name,
                tuple(tasks),
                output_dir=output_folder,
                max_dets_per_image=max_dets_per_image,
            )
        )
    if kind == "lvis":
        evaluators.append(_build_lvis(dataset_name, output_folder, tuple(tasks)))
    if kind == "class_folders":
        evaluators.append(NearestNeighborEvaluator(dataset_name))
    if kind == "sem_seg" or (panoptic and metadata.get("sem_seg_root")):
        evaluators.append(SemSegEvaluator(dataset_name, output_dir=output_folder))
    if panoptic:
        evaluators.append(PanopticEvaluator(dataset_name, output_folder))
    if not evaluators:
        raise InputError(
            f"dataset {dataset_name} has evaluator_type {kind!r}: coco, lvis, sem_seg, "
            "coco_panoptic_seg and class_folders can be evaluated"
        )
    return evaluators[0] if len(evaluators) == 1 else DatasetEvaluators(evaluators)


def _build_lvis(dataset_name: str, output_folder: str, tasks: tuple[str, ...]) -> DatasetEvaluator:
    """The LVIS evaluator, or one line before anything is computed where its package cannot work."""
    try:
        evaluator = LVISEvaluator(
            dataset_name, tasks, output_dir=output_folder, max_dets_per_image=LVIS_MAX_DETS
        )
    except ImportError as error:
        raise InputError(f"LVIS cannot be evaluated here: {error}; pip install what is missing") from error
    # lvis 0.5.3, which Detectron2's evaluator imports, sums with an alias that numpy 1.24 removed.
    if "lvis" in sys.modules and not hasattr(np, "float"):
        raise InputError(
            "LVIS cannot be evaluated here: Detectron2 does it with the package lvis, which fails with "
            f'numpy {np.__version__}; pip install "numpy<1.24", or evaluate with d2lite'
        )
    return evaluator
