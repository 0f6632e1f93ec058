"""Network layers that two or more methods use."""

from .conv_tower import (
    ConvTower,
    DeformConvBlock,
    append_coordinates,
    conv_block,
    coordinate_channels,
    init_conv,
)
from .deform_conv import DeformConv, ModulatedDeformConv, convert_deform_convs, deform_conv2d
from .pyramid_fusion import PyramidFusion
from .resize import (
    aligned_bilinear,
    flatten_levels,
    map_size,
    rescale_pyramid,
    resize,
    restore_size,
    upsample,
)

__all__ = [
    "ConvTower",
    "DeformConv",
    "DeformConvBlock",
    "ModulatedDeformConv",
    "PyramidFusion",
    "aligned_bilinear",
    "append_coordinates",
    "conv_block",
    "convert_deform_convs",
    "coordinate_channels",
    "deform_conv2d",
    "flatten_levels",
    "init_conv",
    "map_size",
    "rescale_pyramid",
    "resize",
    "restore_size",
    "upsample",
]
