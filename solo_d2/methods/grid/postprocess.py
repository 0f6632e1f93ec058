"""Postprocessing of grid predictions to instances for the whole SOLO family (SOLOv2 paper, section 2.1.4).

B: images; K: cells of all levels; C: classes; M: candidates, (cell, class) pairs; h, w: mask feature size.
Masks belong to cells, so each is computed once however many classes its cell has. Only packed bits are kept,
1/32 of the soft values' memory; the soft values of the few survivors are recomputed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from detectron2.structures import Instances
from solo_d2.layers import flatten_levels
from solo_d2.modeling.postprocess import best_of, build_instances, pack_computed_masks
from solo_d2.ops import mask_nms

SoftMasks = Callable[[Tensor], Tensor]
"""Maps cells, (n,) int64 in [0, K), to their soft masks, (n, h, w) float in [0, 1]."""


def points_nms(scores: Tensor) -> Tensor:
    """Sets a score to 0 if it is below its left, top, or top left neighbor; ties survive.

    Args:
        scores: (B, C, S, S) in [0, 1].

    Returns:
        A tensor of the same shape.
    """
    # Padding shifts the 2x2 window to the left and the top, as in the published models.
    neighborhood = F.max_pool2d(scores, kernel_size=2, stride=1, padding=1)[..., :-1, :-1]
    return torch.where(scores == neighborhood, scores, 0)


def cell_scores(category_logits: Sequence[Tensor]) -> Tensor:
    """Computes the cells' scores after :func:`points_nms`.

    Args:
        category_logits: (B, C, S, S) per level.

    Returns:
        (B, K, C) in [0, 1].
    """
    return flatten_levels([points_nms(logits.float().sigmoid()) for logits in category_logits])


@dataclass(frozen=True)
class GridPostprocessor:
    """Turns predictions into instances; for the thresholds see ``grid/config.py``.

    ``mask_stride`` is the number of input pixels per mask pixel. With ``with_masks`` False results have boxes
    only, and no mask is resized.
    """

    score_thr: float
    mask_thr: float
    nms_pre: int
    max_cells: int
    nms_type: str
    nms_kernel: str
    nms_sigma: float
    nms_thr: float
    update_thr: float
    max_per_img: int
    mask_stride: int
    with_masks: bool

    def __call__(
        self,
        category_scores: Tensor,
        soft_masks: SoftMasks,
        mask_size: tuple[int, int],
        cell_strides: Tensor,
        image_size: tuple[int, int],
        output_size: tuple[int, int],
        cell_values: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> Instances:
        """Turns one image's predictions into instances.

        Args:
            category_scores: (K, C) after points NMS.
            soft_masks: Computes the masks of chosen cells.
            mask_size: Height and width of those masks.
            cell_strides: (K,) stride of each cell's level; a mask needs more pixels than that.
            image_size: Height and width of the network input without padding.
            output_size: Height and width of the results.
            cell_values: (K, ...) each; results copy their cells' values into fields of these names.

        Returns:
            At most ``max_per_img`` instances, best first; see :func:`build_instances`.
        """
        cell, category = (category_scores > self.score_thr).nonzero(as_tuple=True)
        scores = category_scores[cell, category]
        cell, category, scores = self._limit_cells(cell, category, scores, category_scores)
        # Several candidates may share a cell and so its mask; compute each mask once.
        cells, mask_index = cell.unique(return_inverse=True)
        masks_of = self._keep_if_few(cells, soft_masks)
        bits, area, soft_sum = pack_computed_masks(
            masks_of, len(cells), mask_size, self.mask_thr, cells.device
        )

        scores = scores * (soft_sum / area.clamp(min=1))[mask_index]
        large = (area[mask_index] > cell_strides[cell]).nonzero().squeeze(1)
        order = large[scores[large].argsort(descending=True, stable=True)[: self.nms_pre]]
        category, mask_index = category[order], mask_index[order]
        scores = mask_nms(
            bits[mask_index],
            category,
            scores[order],
            self.nms_type,
            self.nms_kernel,
            self.nms_sigma,
            self.nms_thr,
        )
        best = best_of(scores, self.update_thr, self.max_per_img)
        used, position = mask_index[best].unique(return_inverse=True)
        results = build_instances(
            masks_of(used)[position],
            scores[best],
            category[best],
            image_size=image_size,
            output_size=output_size,
            mask_stride=self.mask_stride,
            threshold=self.mask_thr,
            with_masks=self.with_masks,
        )
        return _add_values(results, cell_values, cells[mask_index[best]])

    def _limit_cells(
        self, cell: Tensor, category: Tensor, scores: Tensor, category_scores: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Drops the candidates of all but the ``max_cells`` cells with the best category scores."""
        if len(cell) <= self.max_cells:
            return cell, category, scores
        best = category_scores.amax(1).topk(min(self.max_cells, len(category_scores))).indices
        allowed = torch.zeros(len(category_scores), dtype=torch.bool, device=cell.device)
        allowed[best] = True
        kept = allowed[cell]
        return cell[kept], category[kept], scores[kept]

    def _keep_if_few(self, cells: Tensor, soft_masks: SoftMasks) -> SoftMasks:
        """Returns masks by position in ``cells``, computed once if NMS could take them all."""
        if len(cells) <= self.nms_pre:
            return soft_masks(cells).__getitem__
        return lambda index: soft_masks(cells[index])


def _add_values(results: Instances, cell_values: Mapping[str, Tensor], cells: Tensor) -> Instances:
    """Adds the values of each result's cell, (M,) int64, to the results."""
    for name, values in cell_values.items():
        results.set(name, values[cells])
    return results
