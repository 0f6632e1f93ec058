"""Focal loss over class labels (https://arxiv.org/abs/1708.02002) and the counts losses are divided by."""

import torch.distributed as dist
import torch.nn.functional as F
from fvcore.nn import sigmoid_focal_loss
from torch import Tensor

from detectron2.utils import comm


def category_focal_loss(logits: Tensor, labels: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Sums the sigmoid focal loss over all labels and classes.

    Args:
        logits: (..., C).
        labels: (...) int64; C means background.
        alpha: Weight of the foreground against 1 - alpha of the background.
        gamma: Exponent that lowers the weight of what is predicted well.

    Returns:
        A float32 scalar.
    """
    one_hot = F.one_hot(labels, logits.shape[-1] + 1)[..., :-1]
    return sigmoid_focal_loss(logits.float(), one_hot.float(), alpha=alpha, gamma=gamma, reduction="sum")


def average_over_ranks(value: Tensor) -> Tensor:
    """Returns the mean of a scalar over all processes; a process without any instance takes part, too."""
    world_size = comm.get_world_size()
    if world_size == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / world_size
