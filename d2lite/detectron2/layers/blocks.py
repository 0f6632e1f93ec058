"""The base of building blocks of a CNN."""

from torch import nn

from detectron2.layers.batch_norm import FrozenBatchNorm2d

__all__ = ["CNNBlockBase"]


class CNNBlockBase(nn.Module):
    """A block with known channels and stride, which takes one feature map and gives one.

    Attributes:
        in_channels (int): channels of the input.
        out_channels (int): channels of the output.
        stride (int): stride of the output in input pixels.
    """

    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.stride = stride

    def freeze(self):
        """Stops the training of parameters and of batch statistics; returns the block."""
        for parameter in self.parameters():
            parameter.requires_grad = False
        FrozenBatchNorm2d.convert_frozen_batchnorm(self)
        return self
