"""Convolutions, normalization, and the shape of a feature map."""

from .batch_norm import FrozenBatchNorm2d, get_norm
from .blocks import CNNBlockBase
from .deform_conv import DeformConv, ModulatedDeformConv
from .shape_spec import ShapeSpec
from .wrappers import Conv2d, cat

__all__ = [
    "CNNBlockBase",
    "Conv2d",
    "DeformConv",
    "FrozenBatchNorm2d",
    "ModulatedDeformConv",
    "ShapeSpec",
    "cat",
    "get_norm",
]
