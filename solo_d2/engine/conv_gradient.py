"""A faster weight gradient of 3x3 convolutions on CPUs without AVX-512.

There, PyTorch computes the weight gradient of channels-last maps at a fifth of the processor's speed once the
maps outgrow its caches. One matrix product per tap keeps the full speed.
B: batch; C, O: input and output channels; H, W: map size.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

from detectron2.layers import Conv2d

# Smaller maps fit into the caches.
_MIN_PIXELS = 2000


def speed_up_gradients(model: nn.Module) -> None:
    """Makes 3x3 convolutions of stride 1 compute their weight gradients faster, in place.

    Parameters, their names and the results stay the same, gradients but for rounding. Changes nothing on
    CPUs with AVX-512, on GPUs, in other formats than float32, and while compiling.
    """
    for module in model.modules():
        if type(module) is Conv2d and _is_plain(module):
            module.__class__ = _LargeMapConv2d


def _is_plain(conv: nn.Conv2d) -> bool:
    shape = conv.kernel_size, conv.stride, conv.padding, conv.dilation
    return shape == ((3, 3), (1, 1), (1, 1), (1, 1)) and conv.groups == 1 and conv.padding_mode == "zeros"


class _LargeMapConv2d(Conv2d):
    """Detectron2's layer, with :func:`weight_gradient` where it is faster."""

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling() or not self._is_slow(x):
            return super().forward(x)
        x = _SameConv.apply(x, self.weight, self.bias)
        x = x if self.norm is None else self.norm(x)
        return x if self.activation is None else self.activation(x)

    def _is_slow(self, x: Tensor) -> bool:
        return (
            torch.is_grad_enabled()
            and self.weight.requires_grad
            and x.device.type == "cpu"
            and x.dtype == torch.float32
            and x.shape[2] * x.shape[3] >= _MIN_PIXELS
            and not torch.is_autocast_enabled("cpu")
            and torch.backends.cpu.get_cpu_capability() == "AVX2"
        )


class _SameConv(torch.autograd.Function):
    """A 3x3 convolution of stride 1 that keeps the map's size."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, padding=1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        on_input = None
        if ctx.needs_input_grad[0]:
            on_input = conv2d_input(x.shape, weight, gradient, padding=1)
        on_bias = gradient.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return on_input, weight_gradient(x, gradient).contiguous(memory_format=_format_of(weight)), on_bias


def _format_of(weight: Tensor) -> torch.memory_format:
    channels_last = weight.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format


def weight_gradient(x: Tensor, gradient: Tensor) -> Tensor:
    """Computes the weight gradient of a 3x3 convolution of stride 1 and padding 1.

    Args:
        x: (B, C, H, W) float, the input.
        gradient: (B, O, H, W), the gradient of the output.

    Returns:
        (O, C, 3, 3).
    """
    # In rows of W + 2 pixels, a tap's input is the whole padded map shifted by a constant.
    row = x.shape[3] + 2
    inputs = F.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1).reshape(-1, x.shape[1])
    outputs = F.pad(gradient, (0, 2, 0, 2)).permute(0, 2, 3, 1).reshape(-1, gradient.shape[1])
    # What is cut off is padding: the last two rows.
    count = len(inputs) - 2 * row - 2
    outputs = outputs[:count].t()
    shifts = [i * row + j for i in range(3) for j in range(3)]
    taps = [outputs @ inputs[shift : shift + count] for shift in shifts]
    return torch.stack(taps, dim=2).unflatten(2, (3, 3))
