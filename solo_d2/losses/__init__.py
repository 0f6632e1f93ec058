"""Loss functions that two or more methods use."""

from .focal_and_dice import average_over_ranks, category_focal_loss, dice_loss, sigmoid_focal_loss

__all__ = [
    "average_over_ranks",
    "category_focal_loss",
    "dice_loss",
    "sigmoid_focal_loss",
]
