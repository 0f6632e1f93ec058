"""Pairwise affinity: neighbours of one colour are on one side of a mask (BoxInst, Tian et al., CVPR 2021).

B: images; P: masks; h, w: their size. Eight neighbours make four pairs with the opposite ones; each pair is
computed once and counted for each of its two pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from solo_d2.layers import pixel_pairs


def pairwise_loss(
    logits: Tensor, similar: Tensor, images: Tensor, regions: Tensor, dilation: int = 2
) -> Tensor:
    """-log P(both pixels on one side), averaged over pairs of one colour that start in the masks' regions.

    Args:
        logits: (P, h, w) float.
        similar: (B, 4, h, w) bool, which pairs have one colour, as :func:`solo_d2.targets.find_similar_pairs`
            gives them.
        images: (P,) int64 in [0, B), the image of each mask.
        regions: (P, h, w) bool; the pixels that count with their eight neighbours.
        dilation: Pixels from the first to the second of a pair, along an axis.

    Returns:
        A float32 scalar; 0, but still a function of the logits, where no pair counts.
    """
    inside = F.logsigmoid(logits.float())
    outside = inside - logits.float()  # log sigmoid(-x)
    total, count = 0.0, 0.0
    views = zip(*(pixel_pairs(x, dilation) for x in (inside, outside, regions, similar)), strict=True)
    for direction, (inner, outer, region, (of_color, _)) in enumerate(views):
        loss = -torch.logaddexp(inner[0] + inner[1], outer[0] + outer[1])
        weight = of_color[images, direction] * (region[0].to(loss.dtype) + region[1])
        total = total + (loss * weight).sum()
        count = count + weight.sum()
    return total / count.clamp(min=1)


def bounding_regions(masks: Tensor) -> Tensor:
    """Fills the bounding box of each mask: (P, h, w) bool to the same; nothing for an empty mask."""
    return _between_ends(masks.any(2))[:, :, None] & _between_ends(masks.any(1))[:, None, :]


def _between_ends(occupied: Tensor) -> Tensor:
    """True from the first to the last true value of each row of (P, L) bool."""
    started = occupied.cumsum(1) > 0
    unfinished = occupied.flip(1).cumsum(1).flip(1) > 0
    return started & unfinished
