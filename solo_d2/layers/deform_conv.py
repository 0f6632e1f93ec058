"""Deformable convolution on any device (arXiv 1703.06211; with masks arXiv 1811.11168).

Detectron2's layers are compiled operators whose CPU kernels are missing or incomplete. The layers here have
the same parameters. They run Detectron2's operators on a GPU if it was built with them, and PyTorch
otherwise.
B: batch; C: channels; G: deformable groups; T: kernel taps, row by row; H, W: input size; h, w: output size.
"""

import importlib.util
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import detectron2.layers as detectron2_layers

# Detectron2's compiled operators.
_HAS_OPERATORS = importlib.util.find_spec("detectron2._C") is not None


def deform_conv2d(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> Tensor:
    """Convolves an input at sampling points moved by ``offset``; the input is zero outside.

    Args:
        x: (B, C, H, W) float.
        offset: (B, G * T * 2, h, w) pixels, (y, x) for each tap.
        weight: (C_out, C / groups, kernel height, kernel width).
        mask: (B, G * T, h, w) factors of the samples ("modulated"), or None.
        bias: (C_out,) or None.
        stride: Input pixels per output pixel.
        padding: Rows and columns of zeros on every side.
        dilation: Input pixels between taps.
        groups: Groups of channels convolved separately.

    Returns:
        (B, C_out, h, w) in the dtype of ``x``. Positions and samples are computed in float32.
    """
    batch, channels = x.shape[:2]
    taps = weight.shape[2] * weight.shape[3]
    size = offset.shape[-2:]
    grid = _sampling_grid(offset, x.shape[-2:], weight.shape[2:], stride, padding, dilation)
    deformable_groups = grid.shape[1]
    samples = F.grid_sample(
        x.float().reshape(-1, channels // deformable_groups, *x.shape[-2:]),
        grid.flatten(0, 1),
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    ).view(batch, deformable_groups, channels // deformable_groups, taps, *size)
    if mask is not None:
        samples = samples * mask.view(batch, deformable_groups, 1, taps, *size)
    # With every tap as a channel, the convolution is a 1x1 convolution.
    columns = samples.to(x.dtype).reshape(batch, channels * taps, *size)
    return F.conv2d(columns, weight.flatten(1)[:, :, None, None], bias, groups=groups)


def _sampling_grid(offset: Tensor, input_size, kernel_size, stride, padding, dilation) -> Tensor:
    """Returns the position that every tap reads, in grid_sample's x, y: (B, G, T, h * w, 2) float32."""
    points = []
    for axis, length in enumerate(offset.shape[-2:]):
        step, pad, gap = (v if isinstance(v, int) else v[axis] for v in (stride, padding, dilation))
        tap = torch.arange(kernel_size[axis], device=offset.device) * gap - pad
        points.append(tap[:, None] + torch.arange(length, device=offset.device) * step)
    taps = kernel_size[0] * kernel_size[1]
    y = points[0][:, None, :, None].expand(-1, kernel_size[1], -1, offset.shape[-1])
    x = points[1][None, :, None, :].expand(kernel_size[0], -1, offset.shape[-2], -1)
    base = torch.stack([y, x], dim=2).reshape(taps, 2, -1)
    moved = base + offset.float().reshape(offset.shape[0], offset.shape[1] // (2 * taps), *base.shape)
    # Pixel i has its center at (2 i + 1) / size - 1 in grid_sample's frame.
    (height, width), (row, column) = input_size, moved.unbind(-2)
    return torch.stack([(2 * column + 1) / width - 1, (2 * row + 1) / height - 1], dim=-1)


def _forward_in_pytorch(
    layer: "DeformConv | ModulatedDeformConv", x: Tensor, offset: Tensor, mask: Tensor | None
) -> Tensor:
    """Computes the result of the layer's own forward without its compiled operator."""
    out = deform_conv2d(
        x,
        offset,
        layer.weight,
        mask,
        layer.bias,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
    )
    if layer.norm is not None:
        out = layer.norm(out)
    return out if layer.activation is None else layer.activation(out)


class DeformConv(detectron2_layers.DeformConv):
    """Detectron2's layer, on any device."""

    def forward(self, x: Tensor, offset: Tensor) -> Tensor:
        if x.is_cuda and _HAS_OPERATORS:
            return super().forward(x, offset)
        return _forward_in_pytorch(self, x, offset, None)


class ModulatedDeformConv(detectron2_layers.ModulatedDeformConv):
    """Detectron2's layer, on any device."""

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        if x.is_cuda and _HAS_OPERATORS:
            return super().forward(x, offset, mask)
        return _forward_in_pytorch(self, x, offset, mask)


_ANY_DEVICE: dict[type[nn.Module], Any] = {
    detectron2_layers.DeformConv: DeformConv,
    detectron2_layers.ModulatedDeformConv: ModulatedDeformConv,
}


def convert_deform_convs(module: Any) -> Any:
    """Replaces Detectron2's deformable convolutions inside ``module``, in place, by layers for any device.

    Parameters, their names, and ``requires_grad`` stay the same.

    Returns:
        The module.
    """
    for name, child in module.named_children():
        if type(child) in _ANY_DEVICE:
            setattr(module, name, _with_parameters_of(child))
        else:
            convert_deform_convs(child)
    return module


def _with_parameters_of(layer: Any) -> nn.Module:
    converted = _ANY_DEVICE[type(layer)](
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
        layer.deformable_groups,
        bias=layer.bias is not None,
        norm=layer.norm,
        activation=layer.activation,
    )
    converted.weight, converted.bias = layer.weight, layer.bias
    return converted
