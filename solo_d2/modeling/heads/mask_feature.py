"""SOLOv2's mask feature, unified or separate (SOLOv2 paper, section 2.1.2 and appendix B)."""

from collections.abc import Sequence

from torch import Tensor, nn

from solo_d2.layers import ConvTower, append_coordinates, conv_block, rescale_pyramid, upsample
from solo_d2.layers.conv_tower import Norm


class _FusionBranch(nn.Module):
    """Brings one pyramid level to the finest level's scale by convolutions and x2 upsamplings."""

    def __init__(self, in_channels: int, channels: int, num_upsamplings: int, norm: Norm, dcn_type: str):
        super().__init__()
        widths = [in_channels] + [channels] * max(num_upsamplings, 1)
        self.convs = nn.ModuleList(
            conv_block(width, channels, norm, dcn_type=dcn_type) for width in widths[:-1]
        )
        self.upsample = (
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
            if num_upsamplings
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = self.upsample(conv(x))
        return x


class MaskFeatureHead(nn.Module):
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
            norm: Normalisation of every convolution.
            coordinates: Whether the deepest level sees them.
            dcn_type: "DCN" or "DCNv2" makes every convolution deformable, "" none.
        """
        super().__init__()
        self.coordinates = coordinates
        last = num_levels - 1
        self.branches = nn.ModuleList(
            _FusionBranch(in_channels + 2 * (coordinates and i == last), channels, i, norm, dcn_type)
            for i in range(num_levels)
        )
        self.predictor = conv_block(channels, out_channels, norm, kernel_size=1, dcn_type=dcn_type)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """
        Args:
            features: One (B, in_channels, H / 2^l, W / 2^l) per level, finest first.

        Returns:
            (B, E, H, W).
        """
        *finer, deepest = features
        inputs = [*finer, append_coordinates(deepest) if self.coordinates else deepest]
        fused = sum(branch(x) for branch, x in zip(self.branches, inputs, strict=True))
        return self.predictor(fused)


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
            norm: Normalisation of every convolution.
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
