"""Free Mask: turns a backbone's features into coarse object masks (FreeSOLO, section 6.2.2).

E: feature channels; h, w: feature size; Q: queries of all scales; M: results. A query's soft mask is its
cosine similarity with every cell, so recomputing a mask costs one row of a matrix product.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from detectron2.structures import Instances
from solo_d2.layers import map_size
from solo_d2.modeling.postprocess import best_of, build_instances, drop_wide, pack_computed_masks
from solo_d2.ops import matrix_nms
from solo_d2.utils.errors import InputError


@dataclass(frozen=True)
class FreeMaskPostprocessor:
    """Finds and filters coarse masks; for the settings see ``free_mask/config.py``.

    Raises:
        InputError: If there are no query scales, or a limit would keep no mask.
    """

    query_scales: Sequence[float]
    mask_thr: float
    min_area: int
    nms_pre: int
    nms_kernel: str
    nms_sigma: float
    max_per_img: int
    maskness_thr: float
    max_box_width: float
    min_center_y: float
    num_embeddings: int

    def __post_init__(self):
        if not self.query_scales or min(self.query_scales) <= 0:
            raise InputError(f"query_scales must be sizes above 0, not {self.query_scales}")
        for name in ("nms_pre", "max_per_img", "num_embeddings"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")

    @torch.no_grad()
    def __call__(
        self, feature: Tensor, stride: int, image_size: tuple[int, int], output_size: tuple[int, int]
    ) -> Instances:
        """Finds the masks of one image.

        Args:
            feature: (E, h, w) float.
            stride: Network-input pixels per cell; the cells cover the input, padding included.
            image_size: Height and width of the network input without padding.
            output_size: Height and width of the results.

        Returns:
            At most ``max_per_img`` instances, best first, with ``pred_masks`` (M, *output_size) bool,
            ``pred_boxes``, ``scores`` (maskness after NMS), ``pred_classes`` (all 0) and ``pred_embeddings``
            (M, ``num_embeddings``) float32.
        """
        size = map_size(feature)
        keys = F.normalize(feature.float(), dim=0)
        queries = pyramid_queries(feature.float(), self.query_scales)
        threshold = just_below(self.mask_thr)

        def soft_masks(index: Tensor) -> Tensor:
            return normalize_scores(queries[index] @ keys.flatten(1)).unflatten(1, size)

        bits, area, soft_sum = pack_computed_masks(soft_masks, len(queries), size, threshold, feature.device)
        maskness = soft_sum / area.clamp(min=1)
        large = (area > self.min_area).nonzero().squeeze(1)
        # Stable sorts give ties a defined order.
        order = large[maskness[large].argsort(descending=True, stable=True)[: self.nms_pre]]
        scores = matrix_nms(bits[order], None, maskness[order], self.nms_kernel, self.nms_sigma)
        best = best_of(scores, self.maskness_thr, self.max_per_img)
        result = build_instances(
            soft_masks(order[best]),
            scores[best],
            torch.zeros_like(best),
            image_size=image_size,
            output_size=output_size,
            mask_stride=stride,
            threshold=threshold,
        )
        result.pred_embeddings = interpolate_embeddings(queries[order[best]], self.num_embeddings)
        return self._drop_high(drop_wide(result, self.max_box_width))

    def _drop_high(self, instances: Instances) -> Instances:
        """Drops masks whose center is near the top border."""
        height = instances.image_size[0]
        occupied = instances.pred_masks.any(2)
        rows = torch.arange(height, device=occupied.device)
        center = (occupied * rows).sum(1) / occupied.sum(1).clamp(min=1)
        return instances[center > self.min_center_y * height]


def pyramid_queries(feature: Tensor, scales: Sequence[float]) -> Tensor:
    """Resizes a feature map to each scale and flattens it.

    Args:
        feature: (E, h, w) float32.
        scales: Relative sizes; a scale that leaves no cell gives no queries.

    Returns:
        (Q, E) float32, of length 1, scale by scale and row by row.
    """
    size = feature.shape[1:]
    levels = [
        F.interpolate(feature[None], scale_factor=scale, mode="bilinear")[0] if scale != 1 else feature
        for scale in scales
        if min(math.floor(side * scale) for side in size) >= 1
    ]
    levels = [level.flatten(1).T for level in levels]
    return F.normalize(torch.cat([feature.new_zeros(0, len(feature)), *levels]), dim=1)


def normalize_scores(scores: Tensor) -> Tensor:
    """Shifts and scales each row of (Q, K) scores to 0..1; a constant row becomes 0."""
    low, high = scores.aminmax(dim=1, keepdim=True)
    return (scores - low) / (high - low).clamp(min=torch.finfo(scores.dtype).tiny)


def interpolate_embeddings(queries: Tensor, length: int) -> Tensor:
    """Linearly interpolates (n, E) features to (n, ``length``)."""
    if not len(queries):
        return queries.new_zeros(0, length)
    return F.interpolate(queries[None], size=length, mode="linear")[0]


def just_below(threshold: float) -> float:
    """Returns the largest float32 below a threshold, which turns "greater than" into "at least"."""
    value = torch.tensor(threshold, dtype=torch.float32)
    return torch.nextafter(value, torch.tensor(-math.inf)).item()
