"""The two losses of a grid model and their normalization (SOLO paper, section 3.3.2).

Mask losses other than dice come from the loss function ablation (section 3.3).

B: images; K: cells per image; C: classes; P: positive masks; h, w: mask feature size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from solo_d2.losses import average_over_ranks, category_focal_loss, dice_loss, sigmoid_focal_loss
from solo_d2.utils.errors import InputError

from .layout import GridTargets


def bce_loss(logits: Tensor, targets: Tensor, positive_weight: float) -> Tensor:
    """Computes binary cross entropy, averaged over each mask's pixels.

    Args:
        logits: (P, h, w) float.
        targets: (P, h, w) bool.
        positive_weight: Weight of true pixels; the others have weight 1.

    Returns:
        (P,) float32.
    """
    logits = logits.flatten(1).float()
    weight = logits.new_full((), positive_weight)
    loss = F.binary_cross_entropy_with_logits(
        logits, targets.flatten(1).to(logits.dtype), pos_weight=weight, reduction="none"
    )
    return loss.mean(1)


def focal_loss(logits: Tensor, targets: Tensor, alpha: float, gamma: float) -> Tensor:
    """Computes focal loss, averaged over each mask's pixels; shapes as in :func:`bce_loss`."""
    logits = logits.flatten(1).float()
    return sigmoid_focal_loss(logits, targets.flatten(1).to(logits.dtype), alpha, gamma).mean(1)


def product_logit(x: Tensor, y: Tensor) -> Tensor:
    """Computes the logit of sigmoid(x) * sigmoid(y) in log space: -log(e^-x + e^-y + e^-(x+y))."""
    return -torch.logaddexp(torch.logaddexp(-x, -y), -x - y)


MASK_LOSSES = ("dice", "bce", "focal")


@dataclass(frozen=True)
class MaskPrediction:
    """Predictions and targets of the positive masks of one resolution.

    Attributes:
        logits: One (P, h, w), or two whose sigmoids are multiplied (Decoupled SOLO).
        targets: (P, h, w) bool.
    """

    logits: Sequence[Tensor]
    targets: Tensor


@dataclass(frozen=True)
class GridLoss:
    """Focal loss on cells, and dice or another loss on masks; for the settings see ``grid/config.py``.

    Raises:
        InputError: If ``mask_loss`` or ``mask_divisor`` is unknown.
    """

    focal_alpha: float
    focal_gamma: float
    focal_weight: float
    mask_loss: str
    dice_weight: float
    bce_weight: float
    bce_positive_weight: float
    mask_focal_weight: float
    mask_divisor: str
    sync_counts: bool

    def __post_init__(self):
        if self.mask_loss not in MASK_LOSSES:
            raise InputError(f"mask_loss must be one of {', '.join(MASK_LOSSES)}, not '{self.mask_loss}'.")
        if self.mask_divisor not in ("masks", "cells"):
            raise InputError(f"mask_divisor must be 'masks' or 'cells', not '{self.mask_divisor}'.")

    def category(self, logits: Tensor, targets: GridTargets) -> Tensor:
        """Computes the focal loss, summed over all cells and classes, divided by positive cells + 1.

        Args:
            logits: (B, K, C).
            targets: Of the same batch.

        Returns:
            A float32 scalar.
        """
        loss = category_focal_loss(logits, targets.labels, self.focal_alpha, self.focal_gamma)
        return self.focal_weight * loss / (self._count(targets.owner >= 0) + 1)

    def masks(self, predictions: Sequence[MaskPrediction], targets: GridTargets) -> Tensor:
        """Computes the mask loss, averaged over positives; without any, 0 that still depends on the logits.

        Args:
            predictions: All positives of the batch, in groups of one resolution.
            targets: Of the same batch.

        Returns:
            A float32 scalar.
        """
        total = torch.cat([self._each_mask(prediction) for prediction in predictions]).sum()
        weights = {"dice": self.dice_weight, "bce": self.bce_weight, "focal": self.mask_focal_weight}
        return weights[self.mask_loss] * total / self.mask_count(targets).clamp(min=1)

    def mask_count(self, targets: GridTargets) -> Tensor:
        """Counts the masks, or the cells that have any, as the divisor of mask losses: a float32 scalar."""
        if self.mask_divisor == "masks":
            return self._count(torch.ones_like(targets.positive_instance))
        positive = torch.zeros(targets.labels.numel(), dtype=torch.bool, device=targets.labels.device)
        return self._count(positive.index_fill_(0, targets.positive_cell, True))

    def _each_mask(self, prediction: MaskPrediction) -> Tensor:
        """Computes the loss of each mask: (P,) float32."""
        logits = [x.float() for x in prediction.logits]
        if self.mask_loss == "dice":
            probabilities = reduce(torch.mul, [x.sigmoid() for x in logits])
            return dice_loss(probabilities, prediction.targets)
        logit = reduce(product_logit, logits)
        if self.mask_loss == "bce":
            return bce_loss(logit, prediction.targets, self.bce_positive_weight)
        return focal_loss(logit, prediction.targets, self.focal_alpha, self.focal_gamma)

    def _count(self, flags: Tensor) -> Tensor:
        """Counts true flags, averaged over ranks if so configured: a float32 scalar."""
        count = flags.sum().float()
        return average_over_ranks(count) if self.sync_counts else count
