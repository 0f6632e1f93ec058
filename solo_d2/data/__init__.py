"""Data: dataset registration, mappers, augmentations, the resumable training loader, and statistics."""

from solo_d2.scenes import generate_scenes

from .datasets.builtin import register_all
from .datasets.coco_format import register_coco_format
from .datasets.panoptic_format import register_panoptic_format
from .datasets.unlabelled import register_unlabelled
from .loader import TrainLoader, build_train_loader
from .mappers.instance import InstanceMapper
from .mappers.panoptic import PanopticMapper
from .mappers.two_views import TwoViewMapper

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
