"""Which positive locations get a mask loss (CondInst paper, section 2.3).

B: images; K: locations per image; S: slots per image.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from solo_d2.structures import PointTargets


@dataclass(frozen=True)
class PositiveSampler:
    """Bounds the masks computed in a training step; names and defaults as in ``solo_d2.config.condinst``.

    Attributes:
        max_proposals: This many per batch, at random (the paper's first version); -1: see below.
        topk_proposals_per_im: This many per image, shared equally between its instances, best scores first;
            every instance gets at least one. -1: all positives.
    """

    max_proposals: int = -1
    topk_proposals_per_im: int = 64

    @torch.no_grad()
    def __call__(self, targets: PointTargets, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Fills a fixed number of slots, the same for all images, so that nothing waits for the device.

        Args:
            targets: Of the batch.
            scores: (B, K) of the locations, the detector's.

        Returns:
            Locations (B, S) int64 and which slots hold a positive, (B, S) bool; the others name any location.
        """
        if self.max_proposals >= 0:
            limit = self.max_proposals
            chosen = _random_positives(targets.owner >= 0, limit)
        elif self.topk_proposals_per_im >= 0:
            limit = max(self.topk_proposals_per_im, targets.max_instances)
            chosen = _best_positives(targets.owner, scores, self.topk_proposals_per_im)
        else:
            limit = targets.max_positives
            chosen = targets.owner >= 0
        slots = chosen.to(torch.uint8).topk(min(limit, targets.max_positives), dim=1)
        return slots.indices, slots.values > 0


def _random_positives(positive: Tensor, limit: int) -> Tensor:
    """Keeps at most ``limit`` true entries of the whole batch: (B, K) bool."""
    keys = torch.rand(positive.shape, device=positive.device)
    best = torch.where(positive, keys, -1.0).flatten().topk(min(limit, positive.numel()))
    kept = torch.zeros(positive.numel(), dtype=torch.bool, device=positive.device)
    return kept.scatter_(0, best.indices, best.values >= 0).view_as(positive)


def _best_positives(owner: Tensor, scores: Tensor, limit: int) -> Tensor:
    """Keeps the best ``limit // number of instances``, at least one, of each instance: (B, K) bool."""
    by_score = scores.argsort(dim=1, descending=True, stable=True)
    order = by_score.gather(1, owner.gather(1, by_score).argsort(dim=1, stable=True))
    grouped = owner.gather(1, order)  # background, then instance by instance, best score first
    position = torch.arange(grouped.shape[1], device=owner.device).expand_as(grouped)
    starts = torch.ones_like(grouped, dtype=torch.bool)
    starts[:, 1:] = grouped[:, 1:] != grouped[:, :-1]
    rank = position - torch.where(starts, position, 0).cummax(1).values
    num_instances = (starts & (grouped >= 0)).sum(1, keepdim=True)
    quota = torch.div(limit, num_instances.clamp(min=1), rounding_mode="floor").clamp(min=1)
    kept = (grouped >= 0) & (rank < quota)
    return torch.zeros_like(kept).scatter_(1, order, kept)
