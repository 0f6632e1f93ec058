"""A grid model's intermediate predictions, for pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from detectron2.structures import ImageList
from solo_d2.utils.errors import InputError

from .cell_masks import UnifiedMasks
from .layout import GridLayout
from .model import GridSegmenter
from .postprocess import cell_scores


@dataclass(frozen=True)
class Activations:
    """One image's predictions before NMS.

    K: cells of all levels; C: classes; E: mask feature channels. Maps cover the padded network input.

    Attributes:
        layout: The levels and the numbering of their cells.
        scores: (K, C) category scores in [0, 1] after points NMS.
        soft_masks: Maps cells of one level, (n,) int64 in [0, K), to soft masks (n, h, w) in [0, 1].
        mask_feature: (E, h, w), or None if the model has no feature shared by all masks.
        kernels: (K, E) dynamic convolution kernels, or None if the model has none.
    """

    layout: GridLayout
    scores: Tensor
    soft_masks: Callable[[Tensor], Tensor]
    mask_feature: Tensor | None = None
    kernels: Tensor | None = None

    def cells_of(self, level: int) -> Tensor:
        """Returns a level's cells row by row: (S * S,) int64."""
        start = self.layout.offsets[level]
        count = self.layout.levels[level].num_grid ** 2
        return torch.arange(start, start + count, device=self.scores.device)

    def busiest_level(self) -> int:
        """Returns the level with the largest sum of squared scores."""
        counts = [level.num_grid**2 for level in self.layout.levels]
        strengths = self.scores.square().sum(1).split(counts)
        return max(range(len(counts)), key=lambda level: float(strengths[level].sum()))


@torch.no_grad()
def compute_activations(model: nn.Module, model_input: dict) -> tuple[Activations, ImageList]:
    """Runs a model on one image and stops before NMS.

    Args:
        model: SOLO, Decoupled SOLO or SOLOv2, in evaluation mode.
        model_input: In Detectron2's format.

    Returns:
        Its activations, and the padded network input (a batch of one).

    Raises:
        InputError: If the model has no grid.
    """
    if not isinstance(model, GridSegmenter):
        raise InputError(f"{type(model).__name__} has no grid to show: use a SOLO, Decoupled SOLO or SOLOv2")
    images = model.preprocess([model_input])
    category_logits, masks = model.predict(model.backbone(images.tensor))
    shared = masks if isinstance(masks, UnifiedMasks) and masks.kernel_size == 1 else None
    activations = Activations(
        layout=model.layout,
        scores=cell_scores(category_logits)[0],
        soft_masks=partial(masks.soft, 0),
        mask_feature=None if shared is None else shared.feature[0],
        kernels=None if shared is None else shared.kernels[0],
    )
    return activations, images
