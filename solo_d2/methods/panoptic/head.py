"""Semantic branches of panoptic models, from pyramid levels to class logits at the finest level's size.

B: images; C: things as one class, and the stuff classes; H, W: size of the finest level.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detectron2.layers import Conv2d
from detectron2.modeling.meta_arch.semantic_seg import SemSegFPNHead
from solo_d2.layers import PyramidFusion, init_conv, map_size, resize
from solo_d2.layers.conv_tower import Norm


class FusionSemanticHead(PyramidFusion):
    """SOLOv2's branch: like the mask feature branch, then a 1x1 convolution (section 3.2, appendix F)."""

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        num_levels: int,
        convs_dim: int,
        norm: Norm,
    ):
        """
        Args:
            in_channels: Channels of every pyramid level.
            num_classes: C.
            num_levels: Levels fused, each half the size of the one before.
            convs_dim: Width of the fusion blocks.
            norm: Normalization of the fusion's convolutions.
        """
        super().__init__(in_channels, num_levels, convs_dim, norm)
        self.predictor = init_conv(Conv2d(convs_dim, num_classes, 1))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Maps one (B, in_channels, H / 2^l, W / 2^l) per level, finest first, to logits (B, C, H, W)."""
        return self.predictor(self.fuse(features))


class ConcatSemanticHead(nn.Module):
    """CondInst's branch: the levels at one size, concatenated, then a 1x1 convolution (its section 2.5)."""

    def __init__(self, *, in_channels: int, num_classes: int, num_levels: int):
        """
        Args:
            in_channels: Channels of every pyramid level.
            num_classes: C.
            num_levels: Levels concatenated.
        """
        super().__init__()
        self.predictor = init_conv(Conv2d(num_levels * in_channels, num_classes, 1))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Maps one (B, in_channels, H_l, W_l) per level, finest first, to logits (B, C, H, W)."""
        size = map_size(features[0])
        return self.predictor(torch.cat([features[0], *(resize(x, size) for x in features[1:])], dim=1))


class FPNSemanticHead(SemSegFPNHead):
    """Detectron2's Panoptic-FPN head with this project's interface; weights have Detectron2's names."""

    def forward(self, features: Sequence[Tensor]) -> Tensor:  # type: ignore[override]
        """Maps one (B, C_l, H_l, W_l) per input feature, finest first, to logits at its common stride."""
        return self.layers(dict(zip(self.in_features, features, strict=True)))
