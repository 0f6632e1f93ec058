"""Mappers: a data set record -> what a model takes."""

from .copy_paste import CopyPasteMapper
from .instance import UNREADABLE, InstanceMapper
from .panoptic import PanopticMapper

__all__ = ["UNREADABLE", "CopyPasteMapper", "InstanceMapper", "PanopticMapper"]
