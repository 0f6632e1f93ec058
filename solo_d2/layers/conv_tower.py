"""Convolution blocks of the heads: convolution, normalisation, ReLU."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import nn

from detectron2.layers import Conv2d, get_norm

Norm = str | Callable[[int], nn.Module]

# Standard deviation of every head convolution's initial weights (the published models').
_INIT_STD = 0.01


def init_conv(conv: nn.Conv2d, bias: float = 0.0) -> nn.Conv2d:
    """Initialises a head convolution in place with N(0, 0.01) weights and a constant bias; returns it."""
    nn.init.normal_(conv.weight, std=_INIT_STD)
    if conv.bias is not None:
        nn.init.constant_(conv.bias, bias)
    return conv


def conv_block(in_channels: int, out_channels: int, norm: Norm, kernel_size: int = 3) -> nn.Conv2d:
    """Builds a same-size convolution with normalisation and ReLU.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        norm: A name Detectron2's ``get_norm`` knows ("GN", "BN", "SyncBN", ...), a function from channels to
            a module, or "" for none, in which case the convolution has a bias.
        kernel_size: Odd side of the kernel.
    """
    conv = Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        padding=kernel_size // 2,
        bias=norm == "",
        norm=get_norm(norm, out_channels),
        activation=F.relu,
    )
    return init_conv(conv)


class ConvTower(nn.Sequential):
    """A stack of 3x3 convolution blocks, (B, in_channels, H, W) to (B, channels, H, W)."""

    def __init__(self, in_channels: int, channels: int, num_convs: int, norm: Norm):
        widths = [in_channels] + [channels] * num_convs
        super().__init__(
            *(
                conv_block(width_in, width_out, norm)
                for width_in, width_out in zip(widths[:-1], widths[1:], strict=True)
            )
        )
