"""Mappers from a data set's record to a model's input."""

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

# Valid names of a model's ``train_mapper``. Without a name the records decide.
TRAIN_MAPPERS = {"two_views": TwoViewMapper}
