"""Parts that the heads are made of."""

from .conv_tower import ConvTower, conv_block, init_conv
from .coord_conv import append_coordinates
from .dynamic_conv import dynamic_conv
from .pyramid import rescale_pyramid, resize

__all__ = [
    "ConvTower",
    "append_coordinates",
    "conv_block",
    "dynamic_conv",
    "init_conv",
    "rescale_pyramid",
    "resize",
]
