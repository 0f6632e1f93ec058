"""Locations of a point-based detector and their training targets (FCOS; CondInst paper, section 2.2)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from solo_d2.utils.errors import InputError

Size = tuple[int, int]


@dataclass(frozen=True)
class Points:
    """The K locations of all pyramid levels of one input size, level by level, row by row.

    Attributes:
        locations: (K, 2) float32, x and y in network-input pixels.
        strides: (K,) float32, input pixels between neighbors.
        levels: (K,) int64, index of the pyramid level.
        sizes: Height and width of every level.
    """

    locations: Tensor
    strides: Tensor
    levels: Tensor
    sizes: tuple[Size, ...]


@dataclass(frozen=True)
class PointGenerator:
    """Generates the locations of a point-based detector's pyramid levels.

    Attributes:
        strides: Input pixels per location of each level, finest first.
        size_ranges: Inclusive bounds per level of the largest distance in pixels from a location to the sides
            of its object's box.
    """

    strides: tuple[int, ...]
    size_ranges: tuple[tuple[float, float], ...]

    @classmethod
    def from_lists(cls, fpn_strides: Sequence[int], sizes_of_interest: Sequence[float]) -> "PointGenerator":
        """Builds a generator from strides and the bounds between neighboring levels.

        Raises:
            InputError: If there is not exactly one bound fewer than strides.
        """
        if len(sizes_of_interest) != len(fpn_strides) - 1:
            raise InputError(
                "sizes_of_interest needs one entry fewer than fpn_strides, but they have "
                f"{len(sizes_of_interest)} and {len(fpn_strides)}."
            )
        bounds = [-1.0, *sizes_of_interest, float("inf")]
        return cls(tuple(fpn_strides), tuple(zip(bounds[:-1], bounds[1:], strict=True)))

    @staticmethod
    def offset(stride: int) -> int:
        """Returns the position in pixels of a level's first location on each axis."""
        return stride // 2

    def generate(self, sizes: Sequence[Size], device: torch.device) -> Points:
        """Returns the locations of levels of the given heights and widths."""
        locations, strides, levels = [], [], []
        for level, (stride, (height, width)) in enumerate(zip(self.strides, sizes, strict=True)):
            y = torch.arange(height, device=device, dtype=torch.float32) * stride + self.offset(stride)
            x = torch.arange(width, device=device, dtype=torch.float32) * stride + self.offset(stride)
            grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
            locations.append(torch.stack([grid_x, grid_y], dim=-1).flatten(0, 1))
            strides.append(torch.full((height * width,), float(stride), device=device))
            levels.append(torch.full((height * width,), level, device=device))
        return Points(
            locations=torch.cat(locations),
            strides=torch.cat(strides),
            levels=torch.cat(levels),
            sizes=tuple((height, width) for height, width in sizes),
        )


@dataclass(frozen=True)
class PointTargets:
    """Training targets of a batch's locations.

    B images, K locations per image (see :class:`Points`), N ground-truth instances of the whole batch in
    image order.

    Attributes:
        labels: (B, K) int64, class of each location; the number of classes means background.
        owner: (B, K) int64, instance in [0, N) that the location belongs to; -1 for background.
        distances: (B, K, 4) float32 pixels to the left, top, right and bottom side of the owner's box;
            ones at background.
        max_positives: Upper bound of an image's positive locations, known without synchronizing the device.
        max_instances: Upper bound of an image's instances.
    """

    labels: Tensor
    owner: Tensor
    distances: Tensor
    max_positives: int
    max_instances: int
