"""Generalised IoU of boxes around one point (https://arxiv.org/abs/1902.09630)."""

import torch
from torch import Tensor


def distance_giou_loss(distances: Tensor, targets: Tensor, eps: float = 1e-7) -> Tensor:
    """Computes 1 - GIoU of two boxes given by their distances from the same point.

    Args:
        distances: (..., 4) float, to the left, upper, right and lower side, not negative, in any unit.
        targets: Likewise, in the same unit.
        eps: The least area that is divided by.

    Returns:
        (...) float32 in [0, 2].
    """
    distances, targets = distances.float(), targets.float()
    intersection = _area(torch.minimum(distances, targets))
    union = (_area(distances) + _area(targets) - intersection).clamp(min=eps)
    hull = _area(torch.maximum(distances, targets)).clamp(min=eps)
    return 1 - (intersection / union - (hull - union) / hull)


def _area(distances: Tensor) -> Tensor:
    left, top, right, bottom = distances.unbind(-1)
    return (left + right) * (top + bottom)
