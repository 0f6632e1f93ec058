"""Dataset registration: the built-in scenes, COCO's standard names, and anybody's COCO-format files."""

from .builtin import register_all
from .coco_format import register_coco_format
from .panoptic_format import register_panoptic_format

__all__ = ["register_all", "register_coco_format", "register_panoptic_format"]
