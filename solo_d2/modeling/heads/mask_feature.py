"""SOLOv2's mask feature, unified or separate (SOLOv2 paper, section 2.1.2 and appendix B)."""

from collections.abc import Sequence

from torch import Tensor, nn

from solo_d2.layers import ConvTower, PyramidFusion, conv_block, rescale_pyramid, upsample
from solo_d2.layers.conv_tower import Norm


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
            norm: Normalisation of every convolution.
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
