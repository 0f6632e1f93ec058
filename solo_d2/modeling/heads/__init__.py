"""Heads: forward passes only; they know neither targets nor losses."""

from .contrastive import ContrastiveEncoder, ContrastiveNeck, Projections
from .decoupled_solo import DecoupledSOLOHead
from .dynamic_mask import DynamicMaskHead
from .fcos import FCOSHead, PointPredictions
from .grid_head import GridHead
from .mask_branch import MaskBranch, SemanticBranch
from .mask_feature import MaskFeatureHead, SeparateMaskFeatures
from .semantic import ConcatSemanticHead, FPNSemanticHead, FusionSemanticHead
from .solo import SOLOHead
from .solov2 import SOLOv2Head

__all__ = [
    "ConcatSemanticHead",
    "ContrastiveEncoder",
    "ContrastiveNeck",
    "DecoupledSOLOHead",
    "DynamicMaskHead",
    "FCOSHead",
    "FPNSemanticHead",
    "FusionSemanticHead",
    "GridHead",
    "MaskBranch",
    "MaskFeatureHead",
    "PointPredictions",
    "Projections",
    "SOLOHead",
    "SOLOv2Head",
    "SemanticBranch",
    "SeparateMaskFeatures",
]
