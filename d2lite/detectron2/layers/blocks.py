"""The base class of a CNN's building blocks, and the initial weights of convolutions.

The two fills are those of ``fvcore.nn``, whose import compiles scripts and warns that torch deprecates them.
"""

from typing import Any

from torch import nn

from .batch_norm import FrozenBatchNorm2d


class CNNBlockBase(nn.Module):
    """A block with known channels and stride that maps one feature map to another.

    Attributes:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Stride of the output in input pixels.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.stride = stride

    def freeze(self) -> "CNNBlockBase":
        """Stops the training of parameters and of batch statistics; returns the block."""
        for parameter in self.parameters():
            parameter.requires_grad = False
        FrozenBatchNorm2d.convert_frozen_batchnorm(self)
        return self


def msra_fill(conv: Any) -> None:
    """Fills weights by ``kaiming_normal_`` over the outputs (He et al., 2015), and the bias with 0."""
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def xavier_fill(conv: Any) -> None:
    """Fills weights by ``kaiming_uniform_`` with a slope of 1, and the bias with 0."""
    nn.init.kaiming_uniform_(conv.weight, a=1)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
