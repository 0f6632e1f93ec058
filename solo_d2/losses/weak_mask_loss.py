"""The mask losses of FreeSOLO, which use coarse masks as weak labels (FreeSOLO, section 6.2.3).

B: images; P: positive masks; h, w: mask feature size.
"""

from dataclasses import dataclass

from torch import Tensor

from solo_d2.structures import InputError

from .grid_loss import MaskPrediction
from .pairwise import bounding_regions, pairwise_loss
from .projection import average_projection_loss, max_projection_loss


@dataclass(frozen=True)
class WeakMaskLoss:
    """Projections and pairwise affinity; names and defaults as in ``solo_d2.config.freesolo``.

    A loss of weight 0 is left out.

    Raises:
        InputError: If the two pixels of a pair would be one.
    """

    max_projection_weight: float = 1.0
    average_projection_weight: float = 0.1
    pairwise_weight: float = 1.0
    pairwise_dilation: int = 2

    def __post_init__(self):
        if self.pairwise_dilation < 1:
            raise InputError(
                f"MODEL.FREESOLO.PAIRWISE_DILATION must be at least 1, not {self.pairwise_dilation}"
            )

    @property
    def enabled(self) -> bool:
        """Whether any of the losses is on."""
        return any((self.max_projection_weight, self.average_projection_weight, self.pairwise_weight))

    def __call__(
        self,
        prediction: MaskPrediction,
        count: Tensor,
        images: Tensor,
        similar: Tensor | None,
        warmup: float,
    ) -> dict[str, Tensor]:
        """Computes the losses that are switched on.

        Args:
            prediction: The P positives of a batch, of one factor.
            count: What the projections' sums are divided by, a scalar.
            images: (P,) int64 in [0, B), the image of each positive.
            similar: (B, 4, h, w) bool as :func:`pairwise_loss` takes it; None if that loss is off.
            warmup: Factor of the pairwise loss, in [0, 1].

        Returns:
            Float32 scalars by the names under which they are logged; functions of the logits also without
            any positive.
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
        if self.pairwise_weight:
            regions = bounding_regions(prediction.targets)
            loss = pairwise_loss(logits, similar, images, regions, self.pairwise_dilation)
            losses["loss_mask_pairwise"] = self.pairwise_weight * warmup * loss
        return losses
