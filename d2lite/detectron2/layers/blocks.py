"""The base class of a CNN's building blocks."""

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
