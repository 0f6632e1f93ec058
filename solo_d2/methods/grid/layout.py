"""The pyramid of grids that divides an image, and the targets of its cells (SOLO paper, section 3.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from solo_d2.utils.device import copy_to_device
from solo_d2.utils.errors import InputError


@dataclass(frozen=True)
class Level:
    """One pyramid level of a grid model.

    Attributes:
        stride: Input pixels per feature pixel after the level has been re-scaled.
        num_grid: Cells per image side, S.
        scale_range: Smallest and largest sqrt(box area), in network-input pixels, both inclusive.
    """

    stride: int
    num_grid: int
    scale_range: tuple[float, float]


@dataclass(frozen=True)
class GridLayout:
    """All levels of a model; their cells are numbered level by level, row by row: K = sum of S * S."""

    levels: tuple[Level, ...]

    @classmethod
    def from_lists(
        cls,
        fpn_instance_strides: Sequence[int],
        num_grids: Sequence[int],
        fpn_scale_ranges: Sequence[Sequence[float]],
    ) -> "GridLayout":
        """Builds a layout from parallel lists.

        Raises:
            InputError: If the lists differ in length.
        """
        if not len(fpn_instance_strides) == len(num_grids) == len(fpn_scale_ranges):
            raise InputError(
                "fpn_instance_strides, num_grids and fpn_scale_ranges need one entry per level, "
                f"but have {len(fpn_instance_strides)}, {len(num_grids)} and {len(fpn_scale_ranges)}."
            )
        levels = zip(fpn_instance_strides, num_grids, fpn_scale_ranges, strict=True)
        return cls(tuple(Level(stride, grid, (low, high)) for stride, grid, (low, high) in levels))

    @property
    def num_grids(self) -> list[int]:
        return [level.num_grid for level in self.levels]

    @cached_property
    def num_cells(self) -> int:
        """The number of cells of all levels, K."""
        return sum(level.num_grid**2 for level in self.levels)

    @cached_property
    def offsets(self) -> list[int]:
        """The number of each level's first cell."""
        offsets = [0]
        for level in self.levels[:-1]:
            offsets.append(offsets[-1] + level.num_grid**2)
        return offsets

    def locate(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Splits cell numbers in [0, K) into level and number within the level: two int64 of their shape."""
        offsets = copy_to_device(self.offsets, cells.device)
        level = torch.bucketize(cells, offsets, right=True) - 1
        return level, cells - offsets[level]

    def cell_strides(self, device: torch.device) -> Tensor:
        """Returns the stride of every cell's level: (K,) int64."""
        strides = copy_to_device([level.stride for level in self.levels], device)
        counts = copy_to_device([level.num_grid**2 for level in self.levels], device)
        return strides.repeat_interleave(counts, output_size=self.num_cells)


@dataclass(frozen=True)
class GridTargets:
    """Training targets of a batch's grid cells.

    B images, K cells per image (see :class:`GridLayout`), N ground-truth instances of the whole batch in
    image order, P positive (cell, instance) pairs in instance order, then level by level, row by row (in cell
    order where cells are not shared).

    Attributes:
        labels: (B, K) int64, class of each cell; the number of classes means background.
        owner: (B, K) int64, instance that gave the cell its class, the last that claims it; -1 for none.
        positive_instance: (P,) int64 in [0, N).
        positive_cell: (P,) int64 in [0, B * K), image-major.
        masks: Ground truth at each mask stride, in input pixels: (N, h, w) bool each.
    """

    labels: Tensor
    owner: Tensor
    positive_instance: Tensor
    positive_cell: Tensor
    masks: dict[int, Tensor]
