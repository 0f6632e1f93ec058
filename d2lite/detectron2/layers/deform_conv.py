"""Deformable convolutions (https://arxiv.org/abs/1703.06211, https://arxiv.org/abs/1811.11168).

The offsets' channels are (y, x) of each kernel tap, row by row, one deformable group after another.
"""

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["DeformConv", "ModulatedDeformConv"]


def _pair(value):
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


class _DeformConv(nn.Module):
    """What both forms share: parameters, and a sum over kernel taps of moved, weighted inputs."""

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        deformable_groups=1,
        bias=True,
        norm=None,
        activation=None,
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

    def _convolve(self, x, offset, mask):
        out = 0
        for tap in range(self.kernel_size[0] * self.kernel_size[1]):
            row, column = divmod(tap, self.kernel_size[1])
            sample = self._sample(x, offset, mask, tap, row, column)
            kernel = self.weight[:, :, row, column, None, None]
            out = out + F.conv2d(sample.to(kernel.dtype), kernel, groups=self.groups)
        if self.bias is not None:
            out = out + self.bias[:, None, None]
        if self.norm is not None:
            out = self.norm(out)
        return out if self.activation is None else self.activation(out)

    def _sample(self, x, offset, mask, tap, row, column):
        """The input at one tap's moved positions, zero outside, bilinear in float32."""
        groups, taps = self.deformable_groups, self.kernel_size[0] * self.kernel_size[1]
        places = []
        for axis, start in enumerate((row, column)):
            length = offset.shape[2 + axis]
            line = torch.arange(length, device=x.device) * self.stride[axis]
            line = line + start * self.dilation[axis] - self.padding[axis]
            move = offset.unflatten(1, (groups, taps, 2))[:, :, tap, axis].float()
            place = move + line.view([-1, 1] if axis == 0 else [1, -1])
            places.append(((2 * place + 1) / x.shape[2 + axis] - 1).flatten(0, 1))
        grid = torch.stack(places[::-1], dim=-1)
        planes = x.float().unflatten(1, (groups, -1)).flatten(0, 1)
        sample = F.grid_sample(planes, grid, align_corners=False).unflatten(0, (len(x), groups))
        if mask is not None:
            sample = sample * mask.unflatten(1, (groups, taps))[:, :, tap, None]
        return sample.flatten(1, 2)


class DeformConv(_DeformConv):
    """A convolution whose sampling points are moved by predicted offsets; it has no bias."""

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        deformable_groups=1,
        bias=False,
        norm=None,
        activation=None,
    ):
        assert not bias
        args = (in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        super().__init__(*args, deformable_groups, bias, norm, activation)

    def forward(self, x, offset):
        """
        Args:
            x (Tensor): (N, C, H, W).
            offset (Tensor): (N, 2 * deformable_groups * taps, h, w), in pixels.
        """
        return self._convolve(x, offset, None)


class ModulatedDeformConv(_DeformConv):
    """As ``DeformConv``; every sample also has a predicted factor."""

    def forward(self, x, offset, mask):
        """
        Args:
            x (Tensor): (N, C, H, W).
            offset (Tensor): (N, 2 * deformable_groups * taps, h, w), in pixels.
            mask (Tensor): (N, deformable_groups * taps, h, w), the factors.
        """
        return self._convolve(x, offset, mask)
