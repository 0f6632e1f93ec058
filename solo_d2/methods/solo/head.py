"""Heads of SOLO, a mask channel per grid cell (SOLO paper, section 2.1), and Decoupled SOLO (section 4).

B: batch; H, W: a re-scaled level's size; S: cells per side of a level.
"""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from detectron2.layers import Conv2d
from solo_d2.layers import init_conv, upsample
from solo_d2.methods.grid.cell_masks import dynamic_conv_batch
from solo_d2.methods.grid.head import GridHead


class SOLOHead(GridHead):
    """Predicts class logits per cell, and S^2 mask channels per level at twice the level's resolution."""

    mask_tower: nn.Module

    def __init__(
        self,
        *,
        num_grids: Sequence[int],
        instance_channels: int,
        num_coord_convs: int,
        prior_prob: float,
        **kwargs,
    ):
        """
        Args:
            num_grids: S of each level.
            instance_channels: Width of both towers.
            num_coord_convs: How many of the mask tower's first convolutions see coordinates.
            prior_prob: Initial probability of every cell's classes and every mask pixel.
            **kwargs: Arguments of :class:`GridHead`.
        """
        super().__init__(
            num_grids=num_grids,
            instance_channels=instance_channels,
            towers={"mask_tower": {"num_coord_convs": num_coord_convs}},
            prior_prob=prior_prob,
            **kwargs,
        )
        self.mask_predictors = nn.ModuleList(
            init_conv(Conv2d(instance_channels, grid**2, 1), prior_prob) for grid in num_grids
        )

    def mask_branch(self, feature: Tensor, cells: Tensor, level: int) -> Tensor:
        """Returns one level's mask features, (B, channels, 2H, 2W); see :meth:`mask_logits`."""
        return upsample(self.mask_tower(feature))

    def mask_logits(self, mask_features: Tensor, level: int) -> Tensor:
        """Returns one level's masks, (B, S^2, 2H, 2W): channel i * S + j is row i, column j."""
        return self.mask_predictors[level](mask_features)

    def cell_mask_logits(self, mask_features: Tensor, level: int, images: Tensor, cells: Tensor) -> Tensor:
        """Computes only the chosen channels of :meth:`mask_logits`.

        Args:
            mask_features: (B, channels, 2H, 2W).
            level: Index of the level.
            images: (n,) int64 in [0, B), ascending; or (B, 1).
            cells: (n,) int64 in [0, S^2); or (B, N).

        Returns:
            (n, 2H, 2W) or (B, N, 2H, 2W).
        """
        predictor = cast(nn.Conv2d, self.mask_predictors[level])
        weight, bias = predictor.weight, cast(Tensor, predictor.bias)
        logits = dynamic_conv_batch(mask_features, weight[cells].flatten(-3), images)
        return logits + bias[cells][..., None, None]


class DecoupledSOLOHead(GridHead):
    """Predicts class logits per cell, and S column and S row masks per level; a cell's mask is a product."""

    def __init__(
        self,
        *,
        num_grids: Sequence[int],
        instance_channels: int,
        num_coord_convs: int,
        prior_prob: float,
        light: bool,
        **kwargs,
    ):
        """
        Args:
            num_grids: S of each level.
            instance_channels: Width of the towers.
            num_coord_convs: How many of a mask tower's first convolutions see coordinates.
            prior_prob: Initial probability of every cell's classes and every pixel of an axis's masks.
            light: Whether both axes share one tower that sees both coordinates, instead of one tower per axis
                that sees its own.
            **kwargs: Arguments of :class:`GridHead`.
        """
        axes = {"mask_tower": "xy"} if light else {"mask_tower_x": "x", "mask_tower_y": "y"}
        towers = {name: {"axes": axis, "num_coord_convs": num_coord_convs} for name, axis in axes.items()}
        super().__init__(
            num_grids=num_grids,
            instance_channels=instance_channels,
            prior_prob=prior_prob,
            towers=towers,
            **kwargs,
        )
        self.tower_names = list(towers)
        self.predictors_x, self.predictors_y = (
            nn.ModuleList(
                init_conv(Conv2d(instance_channels, grid, 3, padding=1), prior_prob) for grid in num_grids
            )
            for _ in range(2)
        )

    def mask_branch(self, feature: Tensor, cells: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """Returns one level's column and row logits, (B, S, 2H, 2W) each."""
        towers = [upsample(self.get_submodule(name)(feature)) for name in self.tower_names]
        return self.predictors_x[level](towers[0]), self.predictors_y[level](towers[-1])
