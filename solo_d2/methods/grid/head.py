"""The common part of the SOLO family's heads: towers, class logits per grid cell, and the loop over levels.

SOLO paper, sections 2.1 and 2.2; resizing a feature map to the cells: section 3.3, alignment.

B: batch; C: classes; S: cells per side of a level.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from detectron2.layers import Conv2d
from solo_d2.layers import ConvTower, init_conv, rescale_pyramid, resize
from solo_d2.layers.conv_tower import Norm
from solo_d2.utils.errors import InputError

GRID_ALIGNMENTS = ("interpolate", "adaptive_max_pool", "region_grid")
# Sample points per cell side of the region grid; the paper says "dense" without a number.
REGION_POINTS = 4


def align_to_grid(features: Tensor, grid: int, alignment: str) -> Tensor:
    """Resizes a feature map to grid x grid cells.

    Args:
        features: (B, C, H, W).
        grid: S.
        alignment: "interpolate" resizes bilinearly; "adaptive_max_pool" takes the maximum over each cell's
            pixels; "region_grid" averages REGION_POINTS^2 bilinear samples spread evenly over each cell.

    Returns:
        (B, C, S, S).
    """
    if alignment == "adaptive_max_pool":
        return F.adaptive_max_pool2d(features, grid)
    if alignment == "region_grid":
        samples = resize(features, (grid * REGION_POINTS, grid * REGION_POINTS))
        return F.avg_pool2d(samples, REGION_POINTS)
    return resize(features, (grid, grid))


class GridHead(nn.Module):
    """Predicts class logits for every grid cell; a subclass adds the mask side.

    All levels share the category branch and the towers.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_grids: Sequence[int],
        num_classes: int,
        instance_channels: int,
        num_instance_convs: int,
        norm: Norm,
        prior_prob: float,
        category_align: str,
        num_dcn_convs: int,
        type_dcn: str,
        towers: Mapping[str, Mapping[str, Any]],
        cell_predictors: Mapping[str, int] | None = None,
    ):
        """
        Args:
            in_channels: Channels of every pyramid level.
            num_grids: S of each level.
            num_classes: C.
            instance_channels: Width of every tower.
            num_instance_convs: Depth of every tower.
            norm: Normalization of the towers.
            prior_prob: Initial foreground probability of every cell and class.
            category_align: How the category branch resizes features to cells; see :func:`align_to_grid`.
            num_dcn_convs: Number of each tower's last convolutions that are deformable.
            type_dcn: Their type, "DCN" or "DCNv2".
            towers: The mask side's towers: attribute names and the specific arguments of :class:`ConvTower`.
            cell_predictors: Predictors other than the category's: attribute names and numbers of channels.

        Raises:
            InputError: If ``category_align`` or ``type_dcn`` is unknown.
        """
        super().__init__()
        if category_align not in GRID_ALIGNMENTS:
            raise InputError(
                f"category_align must be one of {', '.join(GRID_ALIGNMENTS)}, not '{category_align}'."
            )
        self.num_grids = list(num_grids)
        self.category_align = category_align
        width = instance_channels
        tower: dict[str, Any] = {
            "in_channels": in_channels,
            "channels": width,
            "num_convs": num_instance_convs,
            "norm": norm,
        }
        tower |= {"num_dcn_convs": num_dcn_convs, "type_dcn": type_dcn}
        self.category_tower = ConvTower(**tower)
        for name, settings in towers.items():
            self.add_module(name, ConvTower(**{**tower, **settings}))
        self.category_predictor = init_conv(Conv2d(width, num_classes, 3, padding=1), prior_prob)
        for name, channels in (cell_predictors or {}).items():
            self.add_module(name, init_conv(Conv2d(width, channels, 3, padding=1)))

    def forward(self, features: Sequence[Tensor]) -> tuple[list, list]:
        """
        Args:
            features: One (B, in_channels, H_l, W_l) per level, finest first.

        Returns:
            The results of :meth:`category_branch` and of :meth:`mask_branch`, one per level.

        Raises:
            InputError: If the number of levels is not that of ``num_grids``.
        """
        if len(features) != len(self.num_grids):
            raise InputError(
                f"the head gets {len(features)} levels, but num_grids has {len(self.num_grids)} entries."
            )
        categories, masks = [], []
        for level, feature in enumerate(rescale_pyramid(features)):
            cells = align_to_grid(feature, self.num_grids[level], self.category_align)
            categories.append(self.category_branch(cells))
            masks.append(self.mask_branch(feature, cells, level))
        return categories, masks

    def category_branch(self, cells: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Maps (B, in_channels, S, S) to category logits (B, C, S, S); a subclass may add further maps."""
        return self.category_predictor(self.category_tower(cells))

    def mask_branch(self, feature: Tensor, cells: Tensor, level: int):
        """Computes one level's mask features or kernels.

        Args:
            feature: (B, in_channels, H, W), re-scaled.
            cells: (B, in_channels, S, S), the feature resized to the cells.
            level: Index of the level.
        """
        raise NotImplementedError
