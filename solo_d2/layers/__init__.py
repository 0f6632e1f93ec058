"""Parts that the heads are made of."""

from .aligned_bilinear import aligned_bilinear
from .batch_shuffle import BatchShuffle, gather_ranks
from .conv_tower import ConvTower, DeformConvBlock, conv_block, init_conv
from .coord_conv import append_coordinates, coordinate_channels
from .deform_conv import DeformConv, ModulatedDeformConv, convert_deform_convs, deform_conv2d
from .device_copy import copy_to_device
from .dynamic_conv import dynamic_conv, dynamic_conv_batch
from .grid_align import GRID_ALIGNMENTS, align_to_grid
from .key_queue import KeyQueue
from .momentum_copy import MomentumCopy
from .pixel_pairs import PAIR_OFFSETS, pixel_pairs
from .pyramid import rescale_pyramid, resize, upsample
from .pyramid_fusion import PyramidFusion

__all__ = [
    "BatchShuffle",
    "ConvTower",
    "DeformConv",
    "DeformConvBlock",
    "GRID_ALIGNMENTS",
    "KeyQueue",
    "ModulatedDeformConv",
    "PyramidFusion",
    "PAIR_OFFSETS",
    "MomentumCopy",
    "align_to_grid",
    "aligned_bilinear",
    "append_coordinates",
    "conv_block",
    "convert_deform_convs",
    "coordinate_channels",
    "copy_to_device",
    "deform_conv2d",
    "dynamic_conv",
    "dynamic_conv_batch",
    "gather_ranks",
    "init_conv",
    "pixel_pairs",
    "rescale_pyramid",
    "resize",
    "upsample",
]
