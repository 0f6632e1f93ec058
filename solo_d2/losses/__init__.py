"""Losses; the focal loss is fvcore's."""

from .dice import dice_loss
from .grid_loss import GridLoss

__all__ = ["GridLoss", "dice_loss"]
