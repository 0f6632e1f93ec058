"""The two losses of a grid model and what they are averaged over (SOLO paper, section 3.3.2).

B: images; K: cells per image; C: classes; P: positive masks; h, w: mask feature size.
"""

from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from fvcore.nn import sigmoid_focal_loss
from torch import Tensor

from detectron2.utils import comm
from solo_d2.structures import GridTargets, InputError

from .dice import dice_loss


@dataclass(frozen=True)
class GridLoss:
    """Focal loss on cells, dice loss on masks; names and defaults as in ``solo_d2.config.solov2``.

    Raises:
        InputError: If ``mask_divisor`` is neither "masks" nor "cells".
    """

    focal_alpha: float = 0.25
    focal_gamma: float = 2.0
    category_weight: float = 1.0
    mask_weight: float = 3.0
    mask_divisor: str = "masks"
    sync_counts: bool = False

    def __post_init__(self):
        if self.mask_divisor not in ("masks", "cells"):
            raise InputError(f"LOSS.MASK_DIVISOR must be 'masks' or 'cells', not '{self.mask_divisor}'.")

    def category(self, logits: Tensor, targets: GridTargets) -> Tensor:
        """Focal loss summed over all cells and classes, divided by positive cells + 1.

        Args:
            logits: (B, K, C).
            targets: Of the same batch.

        Returns:
            A float32 scalar.
        """
        one_hot = F.one_hot(targets.labels, logits.shape[-1] + 1)[..., :-1]
        loss = sigmoid_focal_loss(
            logits.float(),
            one_hot.float(),
            alpha=self.focal_alpha,
            gamma=self.focal_gamma,
            reduction="sum",
        )
        return self.category_weight * loss / (self._count(targets.owner >= 0) + 1)

    def masks(self, logits: Tensor, targets: GridTargets) -> Tensor:
        """Dice loss averaged over positives; 0, but still a function of the logits, without any.

        Args:
            logits: (P, h, w), one per positive in the order of ``targets``.
            targets: Of the same batch.

        Returns:
            A float32 scalar.
        """
        dice = dice_loss(logits.float().sigmoid(), targets.masks[targets.positive_instance])
        if self.mask_divisor == "masks":
            count = self._count(torch.ones_like(targets.positive_instance))
        else:
            count = self._count(targets.owner >= 0)
        return self.mask_weight * dice.sum() / count.clamp(min=1)

    def _count(self, flags: Tensor) -> Tensor:
        """Number of true flags, averaged over ranks if so configured: float32 scalar."""
        count = flags.sum().float()
        if self.sync_counts and comm.get_world_size() > 1:
            dist.all_reduce(count)
            count = count / comm.get_world_size()
        return count
