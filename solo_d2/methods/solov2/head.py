"""SOLOv2's kernel branch and mask feature branch (SOLOv2 paper, sections 2.1.1, 2.1.2 and appendix B).

B: batch; D: length of a kernel; E: mask feature channels; S: cells per side of a level.
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
    map_size,
    rescale_pyramid,
    resize,
    upsample,
)
from solo_d2.layers.conv_tower import Norm
from solo_d2.methods.grid.cell_masks import NUM_PLACE_TERMS
from solo_d2.methods.grid.head import GridHead
from solo_d2.utils.errors import InputError

# Objects reach 2 to 4 cells from their cell: this lowers logits by 0.4 to 1.6 there before training.
INITIAL_CURVATURE = 0.1


class SOLOv2Head(GridHead):
    """Predicts class logits and a dynamic convolution kernel for every grid cell."""

    kernel_tower: nn.Module

    def __init__(
        self,
        *,
        in_channels: int,
        instance_channels: int,
        num_masks: int,
        kernel_size: int,
        kernel_coordinates: bool,
        relative_coordinates: bool,
        **kwargs,
    ):
        """
        Args:
            in_channels: Channels of every pyramid level.
            instance_channels: Width of both towers.
            num_masks: Channels of the mask feature, E.
            kernel_size: Odd side of the kernels; D is E * kernel_size^2.
            kernel_coordinates: Whether the kernel branch sees coordinates.
            relative_coordinates: Whether the weights of :class:`CellPlaces` follow each kernel's D numbers.
            **kwargs: Arguments of :class:`GridHead`.

        Raises:
            InputError: If ``kernel_size`` is even.
        """
        if kernel_size % 2 == 0:
            raise InputError(f"kernel_size must be odd (1 or 3), not {kernel_size}.")
        towers = {"kernel_tower": {"in_channels": in_channels + 2 * kernel_coordinates}}
        super().__init__(
            in_channels=in_channels, instance_channels=instance_channels, towers=towers, **kwargs
        )
        self.kernel_coordinates = kernel_coordinates
        length = num_masks * kernel_size**2 + NUM_PLACE_TERMS * relative_coordinates
        self.kernel_predictor = init_conv(Conv2d(instance_channels, length, 3, padding=1))
        if relative_coordinates:
            assert self.kernel_predictor.bias is not None
            nn.init.constant_(self.kernel_predictor.bias[-NUM_PLACE_TERMS], INITIAL_CURVATURE)

    def mask_branch(self, feature: Tensor, cells: Tensor, level: int) -> Tensor:
        """Returns one level's kernels, (B, D or D + 3, S, S). The kernel branch always interpolates."""
        size = map_size(cells)
        if self.category_align != "interpolate":
            cells = resize(feature, size)
        if self.kernel_coordinates:
            cells = torch.cat([cells, resize(coordinate_channels(feature), size)], dim=1)
        return self.kernel_predictor(self.kernel_tower(cells))


class MaskFeatureHead(PyramidFusion):
    """Fuses P2..P5 into one feature at stride 4; the deepest level sees coordinates."""

    def __init__(
        self,
        *,
        in_channels: int,
        num_levels: int,
        mask_channels: int,
        num_masks: int,
        norm: Norm,
        mask_coordinates: bool,
        use_dcn_in_mask: bool,
        type_dcn: str,
    ):
        """
        Args:
            in_channels: Channels of every pyramid level.
            num_levels: Levels fused, each half the size of the one before.
            mask_channels: Width of the fusion blocks.
            num_masks: E, channels of the mask feature.
            norm: Normalization of every convolution.
            mask_coordinates: Whether the deepest level sees coordinates.
            use_dcn_in_mask: Whether every convolution is deformable.
            type_dcn: Their type, "DCN" or "DCNv2".
        """
        kind = type_dcn if use_dcn_in_mask else ""
        super().__init__(
            in_channels, num_levels, mask_channels, norm, coordinates=mask_coordinates, type_dcn=kind
        )
        self.predictor = conv_block(mask_channels, num_masks, norm, kernel_size=1, type_dcn=kind)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """
        Args:
            features: One (B, in_channels, H / 2^l, W / 2^l) per level, finest first.

        Returns:
            (B, E, H, W).
        """
        return self.predictor(self.fuse(features))


class SeparateMaskFeatures(nn.Module):
    """A mask feature for each level of the head, from a tower like SOLO's mask branch (an ablation)."""

    def __init__(
        self,
        *,
        in_channels: int,
        mask_channels: int,
        num_mask_convs: int,
        num_masks: int,
        norm: Norm,
        mask_coordinates: bool,
    ):
        """
        Args:
            in_channels: Channels of every pyramid level.
            mask_channels: Width of the tower.
            num_mask_convs: Its depth.
            num_masks: E, channels of the mask features.
            norm: Normalization of every convolution.
            mask_coordinates: Whether the tower's first convolution sees coordinates.
        """
        super().__init__()
        self.tower = ConvTower(
            in_channels, mask_channels, num_mask_convs, norm, num_coord_convs=int(mask_coordinates)
        )
        self.predictor = conv_block(mask_channels, num_masks, norm, kernel_size=1)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """
        Args:
            features: One (B, in_channels, H_l, W_l) per level, finest first.

        Returns:
            Per level (B, E, 2H, 2W), where (H, W) is the rescaled level's size.
        """
        return [self.predictor(upsample(self.tower(x))) for x in rescale_pyramid(features)]
