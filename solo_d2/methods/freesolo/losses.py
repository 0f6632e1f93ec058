"""FreeSOLO's losses, which use coarse masks as weak labels (FreeSOLO, section 6.2.3).

Projections of masks onto the axes (equations 6.4 and 6.5), pairwise affinity, by which neighboring pixels of
similar color share a mask label (BoxInst, Tian et al., CVPR 2021), and semantic embeddings (equation 6.7).

B: images; P: positive masks; h, w: their size. By symmetry, four of the eight neighbors are enough: each pair
is computed once and counted for both of its pixels.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from solo_d2.losses import dice_loss
from solo_d2.methods.grid.losses import MaskPrediction
from solo_d2.structures import extent
from solo_d2.utils.errors import InputError

from .targets import pixel_pairs


def embedding_loss(predictions: Tensor, targets: Tensor) -> Tensor:
    """Computes 1 - cosine similarity, averaged over the positives that have a target.

    Args:
        predictions: (P, D) float.
        targets: (P, D) float; a row of zeros means no target.

    Returns:
        A float32 scalar; without any target, 0 that still depends on the predictions.
    """
    known = targets.any(1)
    cosine = F.cosine_similarity(predictions.float(), targets.float(), dim=1)
    return torch.where(known, 1 - cosine, 0).sum() / known.sum().clamp(min=1)


# dice_loss adds it to both sums, which makes BoxInst's 1e-5: average projections are small numbers.
_DICE_EPS = 5e-6


def max_projection_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Computes the dice loss of the maxima over rows plus that of the maxima over columns.

    Args:
        probabilities: (P, h, w) float in [0, 1].
        targets: (P, h, w) bool.

    Returns:
        (P,) float32.
    """
    rows, columns = (dice_loss(probabilities.amax(i), targets.amax(i), eps=_DICE_EPS) for i in (1, 2))
    return rows + columns


def average_projection_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Computes :func:`max_projection_loss` with means instead of maxima."""
    wanted = targets.to(probabilities.dtype)
    rows, columns = (dice_loss(probabilities.mean(i), wanted.mean(i), eps=_DICE_EPS) for i in (1, 2))
    return rows + columns


def pairwise_loss(logits: Tensor, similar: Tensor, images: Tensor, regions: Tensor, dilation: int) -> Tensor:
    """Computes -log P(both pixels have one label), averaged over pairs of one color in the masks' regions.

    Args:
        logits: (P, h, w) float.
        similar: (B, 4, h, w) bool, the pairs of similar color, from :func:`find_similar_pairs`.
        images: (P,) int64 in [0, B), the image of each mask.
        regions: (P, h, w) bool, the pixels whose pairs with their eight neighbors count.
        dilation: Distance in pixels between the two of a pair, along an axis.

    Returns:
        A float32 scalar; if no pair counts, 0 that still depends on the logits.
    """
    inside = F.logsigmoid(logits.float())
    outside = inside - logits.float()  # log sigmoid(-x)
    total, count = logits.new_zeros((), dtype=torch.float32), logits.new_zeros((), dtype=torch.float32)
    views = zip(*(pixel_pairs(x, dilation) for x in (inside, outside, regions, similar)), strict=True)
    for direction, (inner, outer, region, (of_color, _)) in enumerate(views):
        # P(one label) = p q + (1 - p)(1 - q), in log space so that certain pixels keep their gradient.
        loss = -torch.logaddexp(inner[0] + inner[1], outer[0] + outer[1])
        # A pair counts once for each of its pixels that is in the region.
        weight = of_color[images, direction] * (region[0].to(loss.dtype) + region[1])
        total = total + (loss * weight).sum()
        count = count + weight.sum()
    return total / count.clamp(min=1)


def bounding_regions(masks: Tensor) -> Tensor:
    """Fills the bounding box of each mask: (P, h, w) bool to (P, h, w) bool; an empty mask stays empty."""
    rows, columns = (_fill(*extent(masks.any(axis)), masks.shape[3 - axis]) for axis in (2, 1))
    return rows[:, :, None] & columns[:, None, :]


def _fill(starts: Tensor, ends: Tensor, length: int) -> Tensor:
    """Marks the positions from each start to before its end: (P, length) bool."""
    positions = torch.arange(length, device=starts.device)
    return (positions >= starts[:, None]) & (positions < ends[:, None])


@dataclass(frozen=True)
class WeakMaskLoss:
    """Projections and pairwise affinity; see ``freesolo/config.py``.

    A loss of weight 0 is not computed.

    Raises:
        InputError: If the dilation is below 1, so that a pair would be one pixel.
    """

    max_projection_weight: float
    average_projection_weight: float
    pairwise_weight: float
    pairwise_dilation: int

    def __post_init__(self):
        if self.pairwise_dilation < 1:
            raise InputError(f"pairwise_dilation must be at least 1, not {self.pairwise_dilation}")

    @property
    def enabled(self) -> bool:
        """True if any of the losses has a weight."""
        return any((self.max_projection_weight, self.average_projection_weight, self.pairwise_weight))

    def __call__(
        self,
        prediction: MaskPrediction,
        count: Tensor,
        images: Tensor,
        similar: Tensor | None,
        warmup: float,
    ) -> dict[str, Tensor]:
        """Computes the losses that have a weight.

        Args:
            prediction: The P positives of a batch, with one factor.
            count: Divisor of the projections' sums, a scalar.
            images: (P,) int64 in [0, B), the image of each positive.
            similar: (B, 4, h, w) bool as :func:`pairwise_loss` takes it; None if that loss is off.
            warmup: Factor of the pairwise loss, in [0, 1].

        Returns:
            Float32 scalars by the names under which they are logged; without any positive they still depend
            on the logits.
        """
        logits = prediction.logits[0].float()
        probabilities = logits.sigmoid()
        losses = {}
        projections = {
            "max": (self.max_projection_weight, max_projection_loss),
            "average": (self.average_projection_weight, average_projection_loss),
        }
        for name, (weight, projection_loss) in projections.items():
            if weight:
                total = projection_loss(probabilities, prediction.targets).sum()
                losses[f"loss_mask_{name}_projection"] = weight * total / count.clamp(min=1)
        if self.pairwise_weight and similar is not None:
            regions = bounding_regions(prediction.targets)
            loss = pairwise_loss(logits, similar, images, regions, self.pairwise_dilation)
            losses["loss_mask_pairwise"] = self.pairwise_weight * warmup * loss
        return losses
