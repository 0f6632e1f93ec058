"""Mappers: a data set record -> what a model takes."""

from .instance import InstanceMapper
from .panoptic import PanopticMapper

__all__ = ["InstanceMapper", "PanopticMapper"]
