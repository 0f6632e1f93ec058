"""Layers that backbones and heads are made of."""

from detectron2.layers.batch_norm import (
    FrozenBatchNorm2d,
    NaiveSyncBatchNorm,
    get_norm,
)
from detectron2.layers.blocks import CNNBlockBase
from detectron2.layers.deform_conv import DeformConv, ModulatedDeformConv
from detectron2.layers.shape_spec import ShapeSpec
from detectron2.layers.wrappers import Conv2d, cat

__all__ = [
    "CNNBlockBase",
    "Conv2d",
    "DeformConv",
    "FrozenBatchNorm2d",
    "ModulatedDeformConv",
    "NaiveSyncBatchNorm",
    "ShapeSpec",
    "cat",
    "get_norm",
]
