"""Losses; the focal loss is fvcore's."""

from .dice import dice_loss
from .grid_loss import GridLoss, MaskPrediction
from .pixelwise import bce_loss, focal_loss, product_logit

__all__ = ["GridLoss", "MaskPrediction", "bce_loss", "dice_loss", "focal_loss", "product_logit"]
