"""Losses that two or more methods use, each a function of tensors."""

from .category import category_focal_loss
from .dice import dice_loss

__all__ = [
    "category_focal_loss",
    "dice_loss",
]
