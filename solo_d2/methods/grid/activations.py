"""What a grid model computes on the way to its masks, read out for pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from detectron2.structures import ImageList
from solo_d2.utils.errors import InputError

from .cell_masks import UnifiedMasks
from .layout import GridLayout
from .model import GridSegmenter, flatten_cells
from .postprocess import points_nms


@dataclass(frozen=True)
class Behavior:
    """One image's predictions before inference decides between them.

    K: cells of all levels; C: classes; E: mask feature channels. Maps cover the padded network input.

    Attributes:
        layout: Levels and the numbering of their cells.
        scores: (K, C) category scores in [0, 1] after points NMS.
        soft_masks: Maps cells of one level, (n,) int64 in [0, K), to soft masks (n, h, w) in [0, 1].
        mask_feature: (E, h, w), or None where a model has no feature that all its masks share.
        kernels: (K, E) dynamic convolution kernels, or None where masks do not come from such.
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
        """Returns the level with the largest sum of squared scores, the one most is found on."""
        counts = [level.num_grid**2 for level in self.layout.levels]
        strengths = self.scores.square().sum(1).split(counts)
        return max(range(len(counts)), key=lambda level: float(strengths[level].sum()))


def read_behavior(model: nn.Module, features: dict[str, Tensor]) -> Behavior:
    """Reads one image's behaviour off a model.

    Args:
        model: SOLO, Decoupled SOLO or SOLOv2, in evaluation mode.
        features: Its backbone's outputs for a batch of one.

    Raises:
        InputError: If the model has no grid.
    """
    if not isinstance(model, GridSegmenter):
        raise InputError(
            f"{type(model).__name__} cannot be looked into: it is no SOLO, Decoupled SOLO or SOLOv2"
        )
    category_logits, masks = model.predict(features)
    dynamic = isinstance(masks, UnifiedMasks) and masks.kernel_size == 1
    return Behavior(
        layout=model.layout,
        scores=flatten_cells([points_nms(logits.sigmoid()) for logits in category_logits])[0],
        soft_masks=partial(masks.soft, 0),
        mask_feature=masks.feature[0] if dynamic else None,
        kernels=masks.kernels[0] if dynamic else None,
    )


@torch.no_grad()
def observe(model: nn.Module, model_input: dict) -> tuple[Behavior, ImageList]:
    """Runs a model on one image up to its predictions.

    Args:
        model: In evaluation mode.
        model_input: In Detectron2's format.

    Returns:
        What it predicts, and the padded network input (a batch of one).

    Raises:
        InputError: If the model has no grid.
    """
    images = model.preprocess([model_input])
    return read_behavior(model, model.backbone(images.tensor)), images
