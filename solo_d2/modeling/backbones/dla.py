"""DLA-34, the real-time models' backbone (Yu et al., "Deep Layer Aggregation", https://arxiv.org/abs/1707.06484).

A stage is a binary tree: two halves, each a block or a smaller tree, and a root that aggregates the outputs
of its halves and of the halves above it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from detectron2.modeling import Backbone
from solo_d2.utils.settings import arguments

# DLA-34 (table 1 of its paper): channels of the six levels, and tree depths of the last four.
_CHANNELS = (16, 32, 64, 128, 256, 512)
_TREE_DEPTHS = (1, 2, 2, 1)


def _conv(
    in_channels: int, out_channels: int, kernel_size: int, norm: str, stride: int = 1, relu: bool = True
):
    conv = Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=kernel_size // 2,
        bias=False,
        norm=get_norm(norm, out_channels),
        activation=F.relu if relu else None,
    )
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


class _Block(nn.Module):
    """Two 3x3 convolutions with a shortcut that the tree provides."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, norm: str):
        super().__init__()
        self.conv1 = _conv(in_channels, out_channels, 3, norm, stride)
        self.conv2 = _conv(out_channels, out_channels, 3, norm, relu=False)

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        return F.relu(self.conv2(self.conv1(x)) + shortcut)


class _Tree(nn.Module):
    """Aggregates two halves; ``passed_channels`` is the width of the maps that the roots above hand down."""

    def __init__(
        self,
        depth: int,
        in_channels: int,
        out_channels: int,
        stride: int,
        norm: str,
        *,
        passed_channels: int = 0,
        keeps_input: bool = False,
    ):
        super().__init__()
        self.stride = stride
        self.keeps_input = keeps_input
        self.is_leaf = depth == 1
        self.first: nn.Module
        self.second: nn.Module
        if keeps_input:
            passed_channels += in_channels
        if self.is_leaf:
            self.project = None
            if in_channels != out_channels:
                self.project = _conv(in_channels, out_channels, 1, norm, relu=False)
            self.first = _Block(in_channels, out_channels, stride, norm)
            self.second = _Block(out_channels, out_channels, 1, norm)
            self.root = _conv(2 * out_channels + passed_channels, out_channels, 1, norm)
        else:
            self.first = _Tree(depth - 1, in_channels, out_channels, stride, norm)
            self.second = _Tree(
                depth - 1, out_channels, out_channels, 1, norm, passed_channels=passed_channels + out_channels
            )

    def forward(self, x: Tensor, passed: tuple[Tensor, ...] = ()) -> Tensor:
        small = F.max_pool2d(x, self.stride) if self.stride > 1 else x
        if self.keeps_input:
            passed = (*passed, small)
        if not self.is_leaf:
            first = self.first(x)
            return self.second(first, (*passed, first))
        first = self.first(x, small if self.project is None else self.project(small))
        second = self.second(first, first)
        return self.root(torch.cat([second, first, *passed], dim=1))


class DLA(Backbone):
    """DLA-34; level i, named "level{i}", has stride 2^i."""

    @configurable
    def __init__(self, *, in_channels: int = 3, norm: str):
        """
        Args:
            in_channels: Channels of the images.
            norm: Normalization of every convolution, as Detectron2's ``get_norm`` takes it.
        """
        super().__init__()
        first, second, *tree_channels = _CHANNELS
        self.base_layer = _conv(in_channels, first, 7, norm)
        levels = [_conv(first, first, 3, norm), _conv(first, second, 3, norm, stride=2)]
        width = second
        for channels, depth in zip(tree_channels, _TREE_DEPTHS, strict=True):
            levels.append(_Tree(depth, width, channels, 2, norm, keeps_input=width != second))
            width = channels
        for index, level in enumerate(levels):
            self.add_module(f"level{index}", level)
        self._out_features = [f"level{index}" for index in range(len(levels))]

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict:
        return arguments(cls, cfg, "MODEL.DLA", in_channels=input_shape.channels)

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {
            name: ShapeSpec(channels=_CHANNELS[index], stride=2**index)
            for index, name in enumerate(self._out_features)
        }

    @property
    def size_divisibility(self) -> int:
        return 2 ** (len(self._out_features) - 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Maps (B, in_channels, H, W) to every level, (B, C_i, H / 2^i, W / 2^i)."""
        x = self.base_layer(x)
        outputs = {}
        for name in self._out_features:
            x = outputs[name] = getattr(self, name)(x)
        return outputs
