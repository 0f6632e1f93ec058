"""DenseCL's encoder: a backbone with a global and a dense projection head (section 5.2.2).

B: images; C: feature channels; M: cells of the grid; D: width of the projections.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectron2.modeling import Backbone
from solo_d2.layers import flatten_levels
from solo_d2.utils.errors import InputError


@dataclass(frozen=True)
class Projections:
    """An encoder's output for a batch of views; projections have length 1.

    Attributes:
        whole: (B, D), the projection of the whole view; at least float32, as all projections.
        features: (B, M, C), the backbone's features, by which cells are matched; None without a dense branch.
        cells: (B, M, D), the projection of each cell; None without a dense branch.
        mean: (B, D), the mean over the cells before normalization; None if it was not requested.
    """

    whole: Tensor
    features: Tensor | None = None
    cells: Tensor | None = None
    mean: Tensor | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> "Projections":
        """Returns the projections with a function applied to every tensor that is not None."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {n: None if v is None else function(v) for n, v in values.items()}
        return replace(self, **changed)


class ContrastiveNeck(nn.Module):
    """Two layers over the pooled feature and, with separate weights, over each cell."""

    def __init__(
        self, in_channels: int, hidden_dim: int, feat_dim: int, *, dense: bool = True, grid_size: int = 0
    ):
        """
        Args:
            in_channels: C.
            hidden_dim: Width between the two layers.
            feat_dim: D.
            dense: Whether to add a dense branch.
            grid_size: Cells along a side, to which features are pooled; 0: as many as the feature has.

        Raises:
            InputError: If the grid's size is negative.
        """
        super().__init__()
        if grid_size < 0:
            raise InputError(f"grid_size must be at least 0, not {grid_size}.")
        self.grid_size = grid_size
        self.whole = _two_layers(in_channels, hidden_dim, feat_dim)
        self.dense = _two_layers(in_channels, hidden_dim, feat_dim) if dense else None

    def forward(self, feature: Tensor, with_mean: bool = False) -> Projections:
        """
        Args:
            feature: (B, C, h, w).
            with_mean: Whether to compute the mean over the cells, which keys need.
        """
        whole = _unit(self.whole(feature.mean((2, 3))))
        if self.dense is None:
            return Projections(whole)
        grid = self._to_cells(feature)
        cells = _full(self.dense(grid))
        mean = _unit(cells.mean(1)) if with_mean else None
        return Projections(whole, grid, _unit(cells), mean)

    def _to_cells(self, feature: Tensor) -> Tensor:
        """Pools (B, C, h, w) to the grid and lists its cells row by row: (B, M, C).

        Raises:
            InputError: If the grid is finer than the feature.
        """
        if self.grid_size > min(feature.shape[2:]):
            raise InputError(
                f"grid_size {self.grid_size} asks for more cells than these views have, "
                f"{tuple(feature.shape[2:])}: lower it, set it to 0, or enlarge the views"
            )
        size = (self.grid_size, self.grid_size)
        if self.grid_size and tuple(feature.shape[2:]) != size:
            feature = F.adaptive_avg_pool2d(feature, size)
        return flatten_levels([feature])


class ContrastiveEncoder(nn.Module):
    """A backbone and a neck; the backbone is named ``bottom_up``, as below an FPN."""

    def __init__(self, bottom_up: Backbone, in_feature: str, neck: ContrastiveNeck):
        """
        Args:
            bottom_up: The backbone to pre-train.
            in_feature: The backbone output that the neck reads.
            neck: Maps that output to projections.
        """
        super().__init__()
        self.bottom_up = bottom_up
        self.in_feature = in_feature
        self.neck = neck

    def forward(self, images: Tensor, with_mean: bool = False) -> Projections:
        """Encodes (B, 3, H, W) normalized images; see :meth:`ContrastiveNeck.forward`."""
        return self.neck(self.features(images), with_mean)

    def features(self, images: Tensor) -> Tensor:
        """Returns the backbone's (B, C, h, w)."""
        return self.bottom_up(images)[self.in_feature]


def _unit(x: Tensor) -> Tensor:
    return F.normalize(_full(x), dim=-1)


def _full(x: Tensor) -> Tensor:
    """Converts half precision to float32, because lengths and means need it."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _two_layers(in_channels: int, hidden_dim: int, out_dim: int) -> nn.Sequential:
    """Builds two linear layers over the last dimension."""
    return nn.Sequential(
        nn.Linear(in_channels, hidden_dim), nn.ReLU(inplace=True), nn.Linear(hidden_dim, out_dim)
    )
