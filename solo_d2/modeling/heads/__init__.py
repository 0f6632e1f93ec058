"""Heads: forward passes only; they know neither targets nor losses."""

from .mask_feature import MaskFeatureHead
from .solov2 import SOLOv2Head

__all__ = ["MaskFeatureHead", "SOLOv2Head"]
