"""SOLOv2's fusion of pyramid levels into one map (SOLOv2 paper, section 2.1.2 and appendix B)."""

from collections.abc import Sequence

from torch import Tensor, nn

from .conv_tower import Norm, append_coordinates, conv_block


class _FusionBranch(nn.Module):
    """Upsamples one pyramid level to the finest level's size by convolutions and x2 upsamplings."""

    def __init__(self, in_channels: int, channels: int, num_upsamplings: int, norm: Norm, type_dcn: str):
        super().__init__()
        widths = [in_channels] + [channels] * max(num_upsamplings, 1)
        self.convs = nn.ModuleList(
            conv_block(width, channels, norm, type_dcn=type_dcn) for width in widths[:-1]
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


class PyramidFusion(nn.Module):
    """Sums P2..P5 at stride 4, each after convolutions; the deepest level sees coordinates."""

    def __init__(
        self,
        in_channels: int,
        num_levels: int,
        channels: int,
        norm: Norm,
        *,
        coordinates: bool = True,
        type_dcn: str = "",
    ):
        """
        Args:
            in_channels: Channels of every pyramid level.
            num_levels: Number of levels fused, each half the size of the one before.
            channels: Width of the fusion blocks and of the result.
            norm: Normalization of every convolution.
            coordinates: Whether the deepest level sees coordinates.
            type_dcn: "DCN" or "DCNv2" for deformable convolutions, "" for ordinary ones.
        """
        super().__init__()
        self.coordinates = coordinates
        last = num_levels - 1
        self.branches = nn.ModuleList(
            _FusionBranch(in_channels + 2 * (coordinates and i == last), channels, i, norm, type_dcn)
            for i in range(num_levels)
        )

    def fuse(self, features: Sequence[Tensor]) -> Tensor:
        """Maps one (B, in_channels, H / 2^l, W / 2^l) per level, finest first, to (B, channels, H, W)."""
        *finer, deepest = features
        inputs = [*finer, append_coordinates(deepest) if self.coordinates else deepest]
        return sum(branch(x) for branch, x in zip(self.branches, inputs, strict=True))
