"""Mask losses that average over pixels (SOLO paper, section 3.3, loss function ablation)."""

import torch
import torch.nn.functional as F
from fvcore.nn import sigmoid_focal_loss
from torch import Tensor


def bce_loss(logits: Tensor, targets: Tensor, positive_weight: float = 2.0) -> Tensor:
    """Binary cross entropy averaged over each mask's pixels, true ones weighted by ``positive_weight``.

    Args:
        logits: (P, h, w) float.
        targets: (P, h, w) bool.
        positive_weight: Of true pixels, against 1 of the others.

    Returns:
        (P,) float32.
    """
    logits = logits.flatten(1).float()
    weight = logits.new_full((), positive_weight)
    loss = F.binary_cross_entropy_with_logits(
        logits, targets.flatten(1).to(logits.dtype), pos_weight=weight, reduction="none"
    )
    return loss.mean(1)


def focal_loss(logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Focal loss averaged over each mask's pixels; arguments and result as in :func:`bce_loss`."""
    logits = logits.flatten(1).float()
    return sigmoid_focal_loss(logits, targets.flatten(1).to(logits.dtype), alpha=alpha, gamma=gamma).mean(1)


def product_logit(x: Tensor, y: Tensor) -> Tensor:
    """The logit of sigmoid(x) * sigmoid(y), without computing either: -log(e^-x + e^-y + e^-(x+y))."""
    return -torch.logaddexp(torch.logaddexp(-x, -y), -x - y)
