"""Focal loss of class labels, dice loss of masks, and averages over processes."""

import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from detectron2.utils import comm


def sigmoid_focal_loss(logits: Tensor, targets: Tensor, alpha: float, gamma: float) -> Tensor:
    """Computes the focal loss of yes-or-no decisions (https://arxiv.org/abs/1708.02002).

    Args:
        logits: (...) float32.
        targets: (...) float32, 0 or 1.
        alpha: Weight of ones; zeros have 1 - alpha. A negative one weights both by 1.
        gamma: Exponent that lowers the weight of well-classified examples.

    Returns:
        (...) float32.
    """
    error = (logits.sigmoid() - targets).abs()
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none") * error**gamma
    return loss if alpha < 0 else loss * (1 - alpha + (2 * alpha - 1) * targets)


def category_focal_loss(logits: Tensor, labels: Tensor, alpha: float, gamma: float) -> Tensor:
    """Sums the sigmoid focal loss (https://arxiv.org/abs/1708.02002) over all labels and classes.

    Args:
        logits: (..., C).
        labels: (...) int64; C means background.
        alpha: Weight of the foreground; the background has 1 - alpha.
        gamma: Exponent that lowers the weight of well-classified examples.

    Returns:
        A float32 scalar.
    """
    one_hot = F.one_hot(labels, logits.shape[-1] + 1)[..., :-1]
    return sigmoid_focal_loss(logits.float(), one_hot.float(), alpha, gamma).sum()


def average_over_ranks(value: Tensor) -> Tensor:
    """Returns the mean of a scalar over all processes; processes without instances must call it, too."""
    world_size = comm.get_world_size()
    if world_size == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / world_size


def dice_loss(probabilities: Tensor, targets: Tensor, eps: float = 1e-3) -> Tensor:
    """Computes 1 - 2 sum(pq) / (sum(p^2) + eps + sum(q^2) + eps) for each mask (SOLO paper, section 3.3.2).

    Args:
        probabilities: (P, ...) float in [0, 1].
        targets: (P, ...) bool or float in [0, 1].
        eps: Keeps the loss finite if both prediction and target are empty.

    Returns:
        (P,) float32.
    """
    p = probabilities.flatten(1).float()
    q = targets.flatten(1).to(p.dtype)
    overlap = (p * q).sum(1)
    return 1 - 2 * overlap / ((p * p).sum(1) + eps + (q * q).sum(1) + eps)
