"""Projections of masks onto the axes, compared by dice (FreeSOLO, section 6.2.3, equations 6.4 and 6.5)."""

from torch import Tensor

from .dice import dice_loss

# Both halves of a projection's dice together have 1e-5, as in BoxInst: average projections are small numbers.
_DICE_EPS = 5e-6


def max_projection_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Dice loss of the maxima over rows plus that of the maxima over columns.

    Args:
        probabilities: (P, h, w) float in [0, 1].
        targets: (P, h, w) bool.

    Returns:
        (P,) float32.
    """
    return sum(dice_loss(probabilities.amax(axis), targets.amax(axis), eps=_DICE_EPS) for axis in (1, 2))


def average_projection_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """As :func:`max_projection_loss` with means instead of maxima."""
    wanted = targets.to(probabilities.dtype)
    return sum(dice_loss(probabilities.mean(axis), wanted.mean(axis), eps=_DICE_EPS) for axis in (1, 2))
