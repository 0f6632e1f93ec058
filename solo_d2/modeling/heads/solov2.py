"""SOLOv2's category and kernel branches (SOLOv2 paper, section 2.1.1).

B: batch; C: classes; E: kernel channels; S: cells per side of a level.
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from detectron2.layers import Conv2d
from solo_d2.layers import ConvTower, append_coordinates, init_conv, rescale_pyramid, resize
from solo_d2.layers.conv_tower import Norm


class SOLOv2Head(nn.Module):
    """Predicts class logits and a dynamic convolution kernel for every grid cell; shared by all levels."""

    def __init__(
        self,
        *,
        in_channels: int,
        num_grids: Sequence[int],
        num_classes: int,
        channels: int = 512,
        num_convs: int = 4,
        kernel_channels: int = 256,
        norm: Norm = "GN",
        prior_prob: float = 0.01,
    ):
        """
        Args:
            in_channels: Channels of every pyramid level.
            num_grids: S of each level.
            num_classes: C.
            channels: Width of both towers.
            num_convs: Depth of both towers.
            kernel_channels: E.
            norm: Normalisation of the towers.
            prior_prob: Initial foreground probability of every cell and class.
        """
        super().__init__()
        self.num_grids = list(num_grids)
        self.category_tower = ConvTower(in_channels, channels, num_convs, norm)
        self.kernel_tower = ConvTower(in_channels + 2, channels, num_convs, norm)
        self.category_predictor = init_conv(
            Conv2d(channels, num_classes, 3, padding=1), bias=-math.log((1 - prior_prob) / prior_prob)
        )
        self.kernel_predictor = init_conv(Conv2d(channels, kernel_channels, 3, padding=1))

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """
        Args:
            features: One (B, in_channels, H_l, W_l) per level, finest first.

        Returns:
            Category logits (B, C, S, S) and kernels (B, E, S, S), one each per level.
        """
        categories, kernels = [], []
        for feature, grid in zip(rescale_pyramid(features), self.num_grids, strict=True):
            cells = resize(append_coordinates(feature), (grid, grid))
            categories.append(self.category_predictor(self.category_tower(cells[:, :-2])))
            kernels.append(self.kernel_predictor(self.kernel_tower(cells)))
        return categories, kernels
