"""Heads: forward passes only; they know neither targets nor losses."""

from .decoupled_solo import DecoupledSOLOHead
from .grid_head import GridHead
from .mask_feature import MaskFeatureHead, SeparateMaskFeatures
from .solo import SOLOHead
from .solov2 import SOLOv2Head

__all__ = [
    "DecoupledSOLOHead",
    "GridHead",
    "MaskFeatureHead",
    "SOLOHead",
    "SOLOv2Head",
    "SeparateMaskFeatures",
]
