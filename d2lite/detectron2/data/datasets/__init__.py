"""Readers of dataset formats, and the registration of COCO under its usual names."""

from . import builtin  # registers
from .coco import load_coco_json, register_coco_instances
from .coco_panoptic import register_coco_panoptic, register_coco_panoptic_separated

__all__ = [
    "builtin",
    "load_coco_json",
    "register_coco_instances",
    "register_coco_panoptic",
    "register_coco_panoptic_separated",
]
