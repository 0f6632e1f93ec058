"""The losses of FCOS and their normalization (FCOS; CondInst paper, section 2.3).

B: images; K: locations per image; C: classes. Every loss is a masked sum over all locations, so no shape
depends on the data and nothing waits for the device. Counts are averaged over processes.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from solo_d2.losses import average_over_ranks, category_focal_loss

from .points import PointTargets


def distance_giou_loss(distances: Tensor, targets: Tensor, eps: float = 1e-7) -> Tensor:
    """Computes 1 - GIoU (https://arxiv.org/abs/1902.09630) of two boxes around the same point.

    Args:
        distances: (..., 4) float, to the left, top, right and bottom side, nonnegative, in any unit.
        targets: The same for the ground truth, in the same unit.
        eps: Lower bound of the areas that are divisors.

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


@dataclass(frozen=True)
class PointLoss:
    """Focal loss on classes, GIoU loss on boxes, cross entropy on centerness."""

    loss_alpha: float
    loss_gamma: float

    def category(self, logits: Tensor, targets: PointTargets) -> Tensor:
        """Computes the focal loss of (B, K, C) logits, summed, divided by the positives: a float32 scalar."""
        loss = category_focal_loss(logits, targets.labels, self.loss_alpha, self.loss_gamma)
        return loss / _count_positives(targets)

    def boxes(self, distances: Tensor, targets: PointTargets, strides: Tensor) -> Tensor:
        """Computes the GIoU loss of the positives, weighted by their true centerness.

        Args:
            distances: (B, K, 4) predictions, nonnegative, in strides.
            targets: Of the same batch.
            strides: (K,) of the locations.

        Returns:
            A float32 scalar.
        """
        weight = true_centerness(targets)
        loss = distance_giou_loss(distances, targets.distances / strides[:, None])
        return (loss * weight).sum() / average_over_ranks(weight.sum()).clamp(min=1e-6)

    def centerness(self, logits: Tensor, targets: PointTargets) -> Tensor:
        """Computes the mean binary cross entropy of (B, K) logits over the positives: a float32 scalar."""
        loss = F.binary_cross_entropy_with_logits(logits.float(), true_centerness(targets), reduction="none")
        return torch.where(targets.owner >= 0, loss, 0).sum() / _count_positives(targets)


def true_centerness(targets: PointTargets) -> Tensor:
    """Computes centerness: (B, K), 1 at the center of the owner's box, 0 at its sides and at background."""
    near = torch.minimum(targets.distances[..., :2], targets.distances[..., 2:])
    far = torch.maximum(targets.distances[..., :2], targets.distances[..., 2:])
    return torch.where(targets.owner >= 0, (near / far).prod(-1).sqrt(), 0)


def _count_positives(targets: PointTargets) -> Tensor:
    return average_over_ranks((targets.owner >= 0).sum().float()).clamp(min=1)
