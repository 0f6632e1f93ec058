"""Heads: forward passes only; they know neither targets nor losses."""

from .decoupled_solo import DecoupledSOLOHead
from .mask_feature import MaskFeatureHead, SeparateMaskFeatures
from .solo import SOLOHead
from .solov2 import SOLOv2Head

__all__ = ["DecoupledSOLOHead", "MaskFeatureHead", "SOLOHead", "SOLOv2Head", "SeparateMaskFeatures"]
