"""SOLOv2's unified mask feature (SOLOv2 paper, section 2.1.2 and appendix B)."""

from collections.abc import Sequence

from torch import Tensor, nn

from solo_d2.layers import append_coordinates, conv_block
from solo_d2.layers.conv_tower import Norm


class _FusionBranch(nn.Module):
    """Brings one pyramid level to the finest level's scale by convolutions and x2 upsamplings."""

    def __init__(self, in_channels: int, channels: int, num_upsamplings: int, norm: Norm):
        super().__init__()
        num_convs = max(num_upsamplings, 1)
        self.convs = nn.ModuleList(
            conv_block(in_channels if i == 0 else channels, channels, norm) for i in range(num_convs)
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
    ):
        """
        Args:
            in_channels: Channels of every pyramid level.
            num_levels: Levels fused, each half the size of the one before.
            channels: Width of the fusion blocks.
            out_channels: E, channels of the mask feature.
            norm: Normalisation of every convolution.
        """
        super().__init__()
        self.branches = nn.ModuleList(
            _FusionBranch(in_channels + 2 * (level == num_levels - 1), channels, level, norm)
            for level in range(num_levels)
        )
        self.predictor = conv_block(channels, out_channels, norm, kernel_size=1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """
        Args:
            features: One (B, in_channels, H / 2^l, W / 2^l) per level, finest first.

        Returns:
            (B, E, H, W).
        """
        *finer, deepest = features
        inputs = [*finer, append_coordinates(deepest)]
        fused = sum(branch(x) for branch, x in zip(self.branches, inputs, strict=True))
        return self.predictor(fused)
