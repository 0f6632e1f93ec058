"""Deformable convolutions (https://arxiv.org/abs/1703.06211, https://arxiv.org/abs/1811.11168).

The layers hold parameters and settings only. The real ones run compiled operators, which d2lite does
not have; solo_d2 replaces the layers of every backbone by its own, in PyTorch.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

_NO_OPERATOR = (
    "d2lite has no operator for deformable convolutions: replace the layers with "
    "solo_d2.layers.convert_deform_convs(model), or install the real Detectron2."
)


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


class _DeformConv(nn.Module):
    """The parameters of both forms."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        deformable_groups: int = 1,
        bias: bool = True,
        norm: nn.Module | None = None,
        activation: Callable | None = None,
    ):
        super().__init__()
        assert in_channels % groups == 0 and out_channels % groups == 0
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride = _pair(kernel_size), _pair(stride)
        self.padding, self.dilation = _pair(padding), _pair(dilation)
        self.groups, self.deformable_groups = groups, deformable_groups
        self.norm, self.activation = norm, activation
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *self.kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")


class ModulatedDeformConv(_DeformConv):
    """The parameters of a deformable convolution whose samples are scaled by predicted factors."""

    def forward(self, x: torch.Tensor, offset: torch.Tensor, mask: torch.Tensor) -> Any:
        raise NotImplementedError(_NO_OPERATOR)


class DeformConv(_DeformConv):
    """The parameters of a deformable convolution without factors; it has no bias."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        deformable_groups: int = 1,
        bias: bool = False,
        norm: nn.Module | None = None,
        activation: Callable | None = None,
    ):
        assert not bias
        shape = (in_channels, out_channels, kernel_size)
        super().__init__(
            *shape, stride, padding, dilation, groups, deformable_groups, False, norm, activation
        )

    def forward(self, x: torch.Tensor, offset: torch.Tensor) -> Any:
        raise NotImplementedError(_NO_OPERATOR)
