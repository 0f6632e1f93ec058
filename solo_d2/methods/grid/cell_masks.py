"""The masks of grid cells, computed only for the requested cells.

SOLOv2's are dynamic convolutions, whose kernels are predicted (SOLOv2 paper, section 2.1.3).

B: images; K: cells per image; P: positive masks; D: numbers in a kernel; E: mask feature channels;
h, w: size of the finest masks; n: requested cells.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from solo_d2.layers import map_size, resize
from solo_d2.utils.device import copy_to_device

from .layout import GridLayout, GridTargets
from .losses import MaskPrediction

NUM_PLACE_TERMS = 3


def dynamic_conv(features: Tensor, kernels: Tensor, kernel_size: int = 1) -> Tensor:
    """Applies predicted kernels to one image's mask feature.

    Args:
        features: (E, H, W).
        kernels: (P, E * kernel_size^2), each an (E, kernel_size, kernel_size) kernel.
        kernel_size: Odd side of the kernels; borders are padded with zeros.

    Returns:
        (P, H, W) logits.
    """
    # conv2d rejects an empty batch of kernels; the empty result must still depend on both for the gradients.
    if kernel_size > 1 and not len(kernels):
        return kernels.sum(1)[:, None, None] * features.sum(0)
    if kernel_size > 1:
        weight = kernels.view(len(kernels), len(features), kernel_size, kernel_size)
        return F.conv2d(features[None], weight, padding=kernel_size // 2)[0]
    # A 1x1 convolution is a matrix product.
    return (kernels @ features.flatten(1)).unflatten(1, features.shape[1:])


def dynamic_conv_batch(features: Tensor, kernels: Tensor, images: Tensor, kernel_size: int = 1) -> Tensor:
    """Applies predicted kernels to the mask features of their images.

    Args:
        features: (B, E, H, W).
        kernels: (P, E * kernel_size^2), or (B, N, E * kernel_size^2) for N in every image.
        images: (P,) int64 in [0, B), ascending: the image of each kernel; unused for N in every image.
        kernel_size: As in :func:`dynamic_conv`.

    Returns:
        (P, H, W) or (B, N, H, W) logits.
    """
    if kernels.dim() == 3:
        columns = (
            F.unfold(features, kernel_size, padding=kernel_size // 2)
            if kernel_size > 1
            else features.flatten(2)
        )
        return (kernels @ columns).unflatten(2, features.shape[2:])
    # Kernels are sorted by image, so each image's kernels are one slice and need no copy.
    counts = torch.bincount(images, minlength=len(features)).tolist()
    pairs = zip(features, kernels.split(counts), strict=True)
    return torch.cat([dynamic_conv(feature, kernel, kernel_size) for feature, kernel in pairs])


LevelLogits = Callable[[int, Tensor, Tensor], tuple[Tensor, ...]]
"""Maps a level, images (n,) and cells of that level (n,) to one or more factors: logits (n, h_l, w_l).

Images (B, 1) and cells (B, N) give (B, N, h_l, w_l).
"""


@dataclass(frozen=True)
class CellPlaces:
    """Adds ``-c (dx^2 + dy^2) + a dx + b dy`` to the logits of a cell's mask.

    SOLOv2's kernels tell objects apart by features that contain coordinates (SOLOv2 paper, section 2.1.3).
    With few pictures they learn the looks of a class first, and one mask covers several objects. CondInst's
    relative coordinates (CondInst paper, section 3.2) prevent that; so do these terms for plain kernels.

    dx and dy are the distances of a pixel from the cell's center, in cells of its level.

    Attributes:
        weights: (B, K, 3): c, a, b of every cell.
        layout: The levels of the K cells.
    """

    weights: Tensor
    layout: GridLayout

    def __call__(self, images: Tensor | int, cells: Tensor, size: tuple[int, int]) -> Tensor:
        """Computes the terms of chosen cells.

        Args:
            images: Index of an image, or int64 that broadcasts with ``cells``.
            cells: (..., n) int64 in [0, K).
            size: Height h and width w of the masks.

        Returns:
            (..., n, h, w) float32.
        """
        curvature, *slopes = self.weights[images, cells].float()[..., None].unbind(-2)
        level, number = self.layout.locate(cells)
        grid = copy_to_device(self.layout.num_grids, cells.device)[level]
        rows, columns = (
            (slope - curvature * distance) * distance
            for slope, distance in (
                (slopes[1], _distances(number // grid, grid, size[0])),
                (slopes[0], _distances(number % grid, grid, size[1])),
            )
        )
        return rows[..., :, None] + columns[..., None, :]


def _distances(cell: Tensor, grid: Tensor, length: int) -> Tensor:
    """Returns the distances of pixels from the centers of cells, (..., n), in cells: (..., n, length)."""
    pixels = (torch.arange(length, device=cell.device) + 0.5) / length
    return pixels * grid[..., None] - (cell[..., None] + 0.5)


@dataclass(frozen=True)
class UnifiedMasks:
    """Kernels applied to one mask feature (SOLOv2).

    Attributes:
        kernels: (B, K, D).
        feature: (B, E, h, w).
        kernel_size: Side of the kernels.
        stride: Input pixels per mask pixel.
        places: Terms of the logits that depend on the distance from the cell; None for none.
        cell_values: Values that results copy from their cells, by field name: (B, K, ...) each.
    """

    kernels: Tensor
    feature: Tensor
    kernel_size: int
    stride: int
    places: CellPlaces | None = None
    cell_values: dict[str, Tensor] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        return map_size(self.feature)

    @property
    def strides(self) -> list[int]:
        return [self.stride]

    def positives(self, targets: GridTargets) -> list[MaskPrediction]:
        """Computes the masks of all positives, in groups of one resolution."""
        num_cells = self.kernels.shape[1]
        images = targets.positive_cell // num_cells
        kernels = self.kernels.float().flatten(0, 1)[targets.positive_cell]
        logits = dynamic_conv_batch(self.feature.float(), kernels, images, self.kernel_size)
        logits = self._placed(logits, images, targets.positive_cell % num_cells)
        return [MaskPrediction([logits], targets.masks[self.stride][targets.positive_instance])]

    def soft(self, image: int, cells: Tensor) -> Tensor:
        """Computes the masks of one image's cells, (n,) int64 in [0, K): (n, h, w) float in [0, 1]."""
        logits = dynamic_conv(self.feature[image], self.kernels[image, cells], self.kernel_size)
        return self._placed(logits.float(), image, cells).sigmoid_()

    def soft_batch(self, cells: Tensor) -> Tensor:
        """Computes the masks of all images' cells, (B, N) int64 in [0, K): (B, N, h, w) float in [0, 1]."""
        images = torch.arange(cells.shape[0], device=cells.device)[:, None]
        kernels = self.kernels[images, cells]
        logits = dynamic_conv_batch(self.feature, kernels, images, self.kernel_size)
        return self._placed(logits.float(), images, cells).sigmoid()

    def _placed(self, logits: Tensor, images: Tensor | int, cells: Tensor) -> Tensor:
        return logits if self.places is None else logits + self.places(images, cells, self.size)


@dataclass(frozen=True)
class LevelMasks:
    """Masks that every level predicts at its own resolution (SOLO, Decoupled SOLO, separate mask features).

    Attributes:
        layout: The levels.
        sizes: Height and width of each level's masks, finest first.
        logits: Computes the masks of chosen cells of a level, as factors whose sigmoids are multiplied.
        cell_values: As :attr:`UnifiedMasks.cell_values`.
    """

    layout: GridLayout
    sizes: Sequence[tuple[int, int]]
    logits: LevelLogits
    cell_values: dict[str, Tensor] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        return self.sizes[0]

    @property
    def strides(self) -> list[int]:
        """Input pixels per mask pixel for each level; masks have twice their level's resolution."""
        return [level.stride // 2 for level in self.layout.levels]

    def positives(self, targets: GridTargets) -> list[MaskPrediction]:
        """Computes the masks of all positives, in one group per level."""
        num_cells = self.layout.num_cells
        level, cell = self.layout.locate(targets.positive_cell % num_cells)
        # Levels have masks of different sizes: sort the positives by level and split them there.
        order = level.argsort(stable=True)
        counts = torch.bincount(level, minlength=len(self.sizes)).tolist()
        columns = (targets.positive_cell // num_cells, cell, targets.positive_instance)
        groups = zip(*(column[order].split(counts) for column in columns), strict=True)
        return [
            MaskPrediction(self.logits(i, images, cells), targets.masks[self.strides[i]][instances])
            for i, (images, cells, instances) in enumerate(groups)
        ]

    def soft(self, image: int, cells: Tensor) -> Tensor:
        """Computes the masks of one image's cells; coarser levels' factors are resized, then multiplied."""
        level, cell = self.layout.locate(cells)
        masks = torch.empty(len(cells), *self.size, device=cells.device)
        for i in range(len(self.sizes)):
            here = (level == i).nonzero().squeeze(1)
            factors = self.logits(i, torch.full_like(here, image), cell[here])
            masks[here] = reduce(torch.mul, [self._resized(x.float().sigmoid()) for x in factors])
        return masks

    def soft_batch(self, cells: Tensor) -> Tensor:
        """Computes the masks of all images' cells, (B, N) int64 in [0, K): (B, N, h, w) float in [0, 1].

        Shapes do not depend on the cells: every level computes N masks, and each cell keeps its level's.
        """
        images = torch.arange(cells.shape[0], device=cells.device)[:, None]
        masks = None
        for i, offset in enumerate(self.layout.offsets):
            number = cells - offset
            last = self.layout.levels[i].num_grid ** 2 - 1
            factors = self.logits(i, images, number.clamp(0, last))
            found = reduce(torch.mul, [self._resized(x.float().sigmoid()) for x in factors])
            here = ((number >= 0) & (number <= last))[..., None, None]
            masks = torch.where(here, found, 0 if masks is None else masks)
        assert masks is not None, "a layout has levels"
        return masks

    def _resized(self, masks: Tensor) -> Tensor:
        """Resizes (..., h_l, w_l) to the finest masks' size."""
        if map_size(masks) == self.size:
            return masks
        maps = masks.reshape(-1, 1, *map_size(masks))
        return resize(maps, self.size).view(*masks.shape[:-2], *self.size)
