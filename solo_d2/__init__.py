"""Direct instance segmentation for Detectron2: importing this package registers its models."""

import solo_d2.provider  # noqa: F401  first, because the others need what it looks for
from solo_d2 import methods, model_zoo, modeling
from solo_d2.data.datasets import register_coco_format, register_panoptic_format
from solo_d2.predictor import Predictor
from solo_d2.training import Result, evaluate, train
from solo_d2.utils.version import __version__

__all__ = [
    "Predictor",
    "Result",
    "__version__",
    "evaluate",
    "methods",
    "model_zoo",
    "modeling",
    "register_coco_format",
    "register_panoptic_format",
    "train",
]
