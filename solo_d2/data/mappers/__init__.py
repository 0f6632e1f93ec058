"""Mappers: a data set record -> what a model takes."""

from .copy_paste import CopyPasteMapper
from .instance import InstanceMapper
from .panoptic import PanopticMapper
from .two_views import TwoViewMapper

__all__ = [
    "CopyPasteMapper",
    "InstanceMapper",
    "PanopticMapper",
    "TRAIN_MAPPERS",
    "TwoViewMapper",
]

# What a model can name as its ``train_mapper``. Without a name the records decide.
TRAIN_MAPPERS = {"two_views": TwoViewMapper}
