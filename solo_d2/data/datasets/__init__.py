"""Dataset registration: built-in scenes, standard data sets, custom COCO files, and unlabeled images."""

from .builtin import register_all
from .class_folders import register_class_folders
from .coco_format import register_coco_format
from .panoptic_format import register_panoptic_format
from .unlabelled import register_unlabelled

__all__ = [
    "register_all",
    "register_class_folders",
    "register_coco_format",
    "register_panoptic_format",
    "register_unlabelled",
]
