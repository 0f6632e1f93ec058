"""Which evaluator measures which dataset."""

from detectron2.data import MetadataCatalog
from detectron2.evaluation import (
    COCOEvaluator,
    DatasetEvaluator,
    DatasetEvaluators,
    LVISEvaluator,
    SemSegEvaluator,
)
from solo_d2.structures.errors import InputError

INSTANCE_TASKS = ("bbox", "segm")


def build_evaluator(dataset_name: str, output_folder: str, max_dets_per_image: int = 100) -> DatasetEvaluator:
    """Returns the evaluator for a dataset, chosen by its metadata's ``evaluator_type``.

    "coco" and "lvis" measure boxes and masks; datasets with ``stuff_classes`` of type "sem_seg"
    measure the semantic map.

    Args:
        dataset_name: a registered dataset.
        output_folder: where result files go; evaluation makes it.
        max_dets_per_image: results that count per image, best first (COCO's rule: 100; LVIS has
            its own).

    Raises:
        InputError: if nothing can measure such a dataset.
    """
    kind = MetadataCatalog.get(dataset_name).get("evaluator_type")
    evaluators = []
    if kind in ("coco", "coco_panoptic_seg"):
        evaluators.append(
            COCOEvaluator(
                dataset_name,
                INSTANCE_TASKS,
                output_dir=output_folder,
                max_dets_per_image=max_dets_per_image,
            )
        )
    if kind == "lvis":
        evaluators.append(LVISEvaluator(dataset_name, INSTANCE_TASKS, output_dir=output_folder))
    if kind in ("sem_seg", "coco_panoptic_seg"):
        evaluators.append(SemSegEvaluator(dataset_name, output_dir=output_folder))
    if not evaluators:
        raise InputError(
            f"Dataset {dataset_name} has evaluator_type {kind!r}: coco, lvis, sem_seg and "
            "coco_panoptic_seg can be evaluated"
        )
    return evaluators[0] if len(evaluators) == 1 else DatasetEvaluators(evaluators)
