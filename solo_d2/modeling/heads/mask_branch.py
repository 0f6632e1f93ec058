"""CondInst's bottom branch, and the semantic branch that only trains (CondInst paper, sections 2.1, 2.3)."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from detectron2.layers import Conv2d
from solo_d2.layers import ConvTower, aligned_bilinear, conv_block, init_conv
from solo_d2.layers.conv_tower import Norm


class MaskBranch(nn.Module):
    """Sums pyramid levels at the finest one's size and reduces them to a few channels for all mask heads."""

    def __init__(
        self,
        *,
        in_channels: int,
        num_levels: int = 3,
        channels: int = 128,
        num_convs: int = 4,
        out_channels: int = 8,
        norm: Norm = "BN",
    ):
        """
        Args:
            in_channels: Channels of every pyramid level.
            num_levels: Levels fused, each half the size of the one before.
            channels: Width.
            num_convs: Convolutions after the fusion.
            out_channels: E, channels of the result.
            norm: Normalisation of every convolution but the last.
        """
        super().__init__()
        self.refiners = nn.ModuleList(conv_block(in_channels, channels, norm) for _ in range(num_levels))
        self.tower = ConvTower(channels, channels, num_convs, norm)
        self.predictor = init_conv(Conv2d(channels, out_channels, 1))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """
        Args:
            features: One (B, in_channels, H / 2^l, W / 2^l) per level, finest first.

        Returns:
            (B, E, H, W).
        """
        fused = self.refiners[0](features[0])
        for refiner, feature in zip(list(self.refiners)[1:], features[1:], strict=True):
            fused = fused + aligned_bilinear(refiner(feature), fused.shape[2] // feature.shape[2])
        return self.predictor(self.tower(fused))


class SemanticBranch(nn.Sequential):
    """Class logits (B, C, H, W) of every pixel of a pyramid level (B, in_channels, H, W)."""

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        channels: int = 128,
        norm: Norm = "BN",
        prior_prob: float = 0.01,
    ):
        """
        Args:
            in_channels: Channels of the level.
            num_classes: C.
            channels: Width.
            norm: Normalisation of the convolutions.
            prior_prob: Initial foreground probability of every pixel and class.
        """
        predictor = init_conv(Conv2d(channels, num_classes, 1), bias=-math.log((1 - prior_prob) / prior_prob))
        super().__init__(ConvTower(in_channels, channels, 2, norm), predictor)
