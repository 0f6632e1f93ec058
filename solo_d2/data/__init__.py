"""Data: the built-in scenes, dataset registration, the resumable training loader, dataset
statistics."""

from .datasets import register_all, register_coco_format, register_panoptic_format, register_unlabelled
from .loader import TrainLoader, build_train_loader
from .mappers import InstanceMapper, PanopticMapper, TwoViewMapper
from .scenes import generate_scenes

__all__ = [
    "InstanceMapper",
    "PanopticMapper",
    "TrainLoader",
    "TwoViewMapper",
    "build_train_loader",
    "generate_scenes",
    "register_all",
    "register_coco_format",
    "register_panoptic_format",
    "register_unlabelled",
]
