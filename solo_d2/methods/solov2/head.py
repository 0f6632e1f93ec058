"""SOLOv2's category and kernel branches (SOLOv2 paper, section 2.1.1).

B: batch; C: classes; D: numbers in a kernel; S: cells per side of a level.

SOLOv2's mask feature, unified or separate (SOLOv2 paper, section 2.1.2 and appendix B).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detectron2.layers import Conv2d
from solo_d2.layers import (
    ConvTower,
    PyramidFusion,
    conv_block,
    coordinate_channels,
    init_conv,
    rescale_pyramid,
    resize,
    upsample,
)
from solo_d2.layers.conv_tower import Norm
from solo_d2.methods.grid.head import GridHead


class SOLOv2Head(GridHead):
    """Predicts class logits and a dynamic convolution kernel for every grid cell."""

    def __init__(
        self,
        *,
        in_channels: int,
        channels: int = 512,
        num_convs: int = 4,
        kernel_channels: int = 256,
        coordinates: bool = True,
        num_embeddings: int = 0,
        **kwargs,
    ):
        """
        Args:
            in_channels: Channels of every pyramid level.
            channels: Width of both towers.
            num_convs: Depth of both towers.
            kernel_channels: D, mask feature channels times the kernel's area.
            coordinates: Whether the kernel branch sees them.
            num_embeddings: Numbers of each cell's semantic embedding, which a convolution beside the category
                branch's last one predicts (FreeSOLO, section 6.2.3); 0 for none.
            **kwargs: Of :class:`GridHead`.
        """
        towers = {"kernel_tower": {"in_channels": in_channels + 2 * coordinates}}
        super().__init__(
            in_channels=in_channels, channels=channels, num_convs=num_convs, towers=towers, **kwargs
        )
        self.coordinates = coordinates
        if num_embeddings:
            self.embedding_predictor = init_conv(Conv2d(channels, num_embeddings, 3, padding=1))
        self.num_embeddings = num_embeddings
        self.kernel_predictor = init_conv(Conv2d(channels, kernel_channels, 3, padding=1))

    def category_branch(self, cells: Tensor) -> Tensor:
        """Returns (B, C + num_embeddings, S, S): category logits, then the embedding."""
        x = self.category_tower(cells)
        logits = self.category_predictor(x)
        return torch.cat([logits, self.embedding_predictor(x)], dim=1) if self.num_embeddings else logits

    def mask_branch(self, feature: Tensor, cells: Tensor, level: int) -> Tensor:
        """Returns one level's kernels, (B, D, S, S). The kernel branch always interpolates."""
        size = tuple(cells.shape[-2:])
        if self.alignment != "interpolate":
            cells = resize(feature, size)
        if self.coordinates:
            cells = torch.cat([cells, resize(coordinate_channels(feature), size)], dim=1)
        return self.kernel_predictor(self.kernel_tower(cells))


class MaskFeatureHead(PyramidFusion):
    """Fuses P2..P5 into one feature at stride 4; the deepest level is told its coordinates."""

    def __init__(
        self,
        *,
        in_channels: int,
        num_levels: int = 4,
        channels: int = 128,
        out_channels: int = 256,
        norm: Norm = "GN",
        coordinates: bool = True,
        dcn_type: str = "",
    ):
        """
        Args:
            in_channels: Channels of every pyramid level.
            num_levels: Levels fused, each half the size of the one before.
            channels: Width of the fusion blocks.
            out_channels: E, channels of the mask feature.
            norm: Normalization of every convolution.
            coordinates: Whether the deepest level sees them.
            dcn_type: "DCN" or "DCNv2" makes every convolution deformable, "" none.
        """
        super().__init__(in_channels, num_levels, channels, norm, coordinates=coordinates, dcn_type=dcn_type)
        self.predictor = conv_block(channels, out_channels, norm, kernel_size=1, dcn_type=dcn_type)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """
        Args:
            features: One (B, in_channels, H / 2^l, W / 2^l) per level, finest first.

        Returns:
            (B, E, H, W).
        """
        return self.predictor(self.fuse(features))


class SeparateMaskFeatures(nn.Module):
    """A mask feature for each level of the head, by a tower like SOLO's mask branch (an ablation)."""

    def __init__(
        self,
        *,
        in_channels: int,
        channels: int = 128,
        num_convs: int = 7,
        out_channels: int = 256,
        norm: Norm = "GN",
        coordinates: bool = True,
    ):
        """
        Args:
            in_channels: Channels of every pyramid level.
            channels: Width of the tower.
            num_convs: Its depth.
            out_channels: E, channels of the mask features.
            norm: Normalization of every convolution.
            coordinates: Whether the tower's first convolution sees them.
        """
        super().__init__()
        self.tower = ConvTower(in_channels, channels, num_convs, norm, num_coord_convs=int(coordinates))
        self.predictor = conv_block(channels, out_channels, norm, kernel_size=1)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """
        Args:
            features: One (B, in_channels, H_l, W_l) per level, finest first.

        Returns:
            Per level (B, E, 2 H, 2 W), H and W being the re-scaled level's size.
        """
        return [self.predictor(upsample(self.tower(x))) for x in rescale_pyramid(features)]
