"""Losses; the focal loss's formula is fvcore's."""

from .category import category_focal_loss
from .dice import dice_loss
from .giou import distance_giou_loss
from .grid_loss import GridLoss, MaskPrediction
from .pixelwise import bce_loss, focal_loss, product_logit
from .point_loss import PointLoss, true_centerness
from .semantic import semantic_cross_entropy

__all__ = [
    "GridLoss",
    "MaskPrediction",
    "PointLoss",
    "bce_loss",
    "category_focal_loss",
    "dice_loss",
    "distance_giou_loss",
    "focal_loss",
    "product_logit",
    "semantic_cross_entropy",
    "true_centerness",
]
