"""Convolution blocks of the heads: coordinate channels, convolution, normalization, ReLU."""

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectron2.layers import Conv2d, get_norm
from solo_d2.utils.errors import InputError

from .deform_conv import DeformConv, ModulatedDeformConv


def coordinate_channels(features: Tensor, axes: str = "xy") -> Tensor:
    """Makes coordinate channels, each running from -1 to 1 over the map (SOLO paper, section 2.1).

    Args:
        features: (B, C, H, W).
        axes: Coordinates in their order: "xy", "x" or "y".

    Returns:
        (B, len(axes), H, W) in the features' dtype.
    """
    batch, _, height, width = features.shape
    lines = {"x": (width, (1, 1, 1, width)), "y": (height, (1, 1, height, 1))}
    coordinates = [
        _evenly_spaced(length, features).view(shape).expand(batch, 1, height, width)
        for length, shape in (lines[axis] for axis in axes)
    ]
    return torch.cat(coordinates, dim=1)


def _evenly_spaced(length: int, like: Tensor) -> Tensor:
    """Returns ``torch.linspace(-1, 1, length)``."""
    if not isinstance(length, torch.SymInt):
        return torch.linspace(-1, 1, length, device=like.device, dtype=like.dtype)
    # While a model is exported for any size, linspace would fix the length to that of the example. From both
    # ends, as linspace does: the values are symmetric.
    dtype = torch.promote_types(like.dtype, torch.float32)
    index = torch.arange(length, device=like.device, dtype=dtype)
    step = 2 / torch.sym_max(length - 1, 1)
    values = torch.where(2 * index < length, step * index - 1, 1 - step * (length - 1 - index))
    return values.to(like.dtype)


def append_coordinates(features: Tensor, axes: str = "xy") -> Tensor:
    """Appends :func:`coordinate_channels`: (B, C + len(axes), H, W) in the features' memory format."""
    return torch.cat([features, coordinate_channels(features, axes)], dim=1)


Norm = str | Callable[[int], nn.Module]
Conv = TypeVar("Conv", bound=nn.Module)

# Standard deviation of the initial weights of head convolutions, as in the published models.
_INIT_STD = 0.01
_DEFORM_CONVS = {"DCN": DeformConv, "DCNv2": ModulatedDeformConv}


def init_conv(conv: Conv, prior_prob: float = 0.5) -> Conv:
    """Initializes a head convolution in place, with N(0, 0.01) weights, and returns it.

    Args:
        conv: The convolution.
        prior_prob: Initial probability, set by the bias (focal loss paper, section 3.3); 0.5 is bias 0.
    """
    weight, bias = cast(Tensor, conv.weight), cast(Tensor | None, conv.bias)
    nn.init.normal_(weight, std=_INIT_STD)
    if bias is not None:
        nn.init.constant_(bias, 0.0 - math.log((1 - prior_prob) / prior_prob))  # 0.5: not -0.0
    return conv


class DeformConvBlock(nn.Module):
    """A deformable convolution that predicts its offsets (and, as "DCNv2", factors) from its input."""

    def __init__(self, type_dcn: str, in_channels: int, kernel_size: int, **conv):
        """
        Args:
            type_dcn: "DCN" or "DCNv2".
            in_channels: Input channels.
            kernel_size: Odd side of the kernel.
            **conv: Other arguments of Detectron2's deformable convolutions.

        Raises:
            InputError: If ``type_dcn`` is unknown.
        """
        super().__init__()
        if type_dcn not in _DEFORM_CONVS:
            raise InputError(f"type_dcn must be one of {', '.join(_DEFORM_CONVS)}, not '{type_dcn}'.")
        taps = kernel_size**2
        self.num_offsets = 2 * taps
        self.num_factors = taps if type_dcn == "DCNv2" else 0
        padding = kernel_size // 2
        self.offset = Conv2d(in_channels, self.num_offsets + self.num_factors, kernel_size, padding=padding)
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(cast(Tensor, self.offset.bias))
        self.conv = init_conv(
            _DEFORM_CONVS[type_dcn](in_channels, kernel_size=kernel_size, padding=padding, **conv)
        )

    def forward(self, x: Tensor) -> Tensor:
        moves = self.offset(x)
        if not self.num_factors:
            return self.conv(x, moves)
        offset, factors = moves.split((self.num_offsets, self.num_factors), dim=1)
        return self.conv(x, offset, factors.sigmoid())


def conv_block(
    in_channels: int,
    out_channels: int,
    norm: Norm,
    kernel_size: int = 3,
    type_dcn: str = "",
    *,
    bias: bool = False,
) -> nn.Module:
    """Builds a same-size convolution with normalization and ReLU.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        norm: A name that Detectron2's ``get_norm`` knows ("GN", "BN", "SyncBN", ...), a function from
            channels to a module, or "" for none. Without it the convolution has a bias, except for "DCN".
        kernel_size: Odd side of the kernel.
        type_dcn: "DCN" or "DCNv2" for a deformable convolution, "" for an ordinary one.
        bias: Whether an ordinary convolution has a bias even with a normalization.
    """
    parts: dict[str, Any] = {"norm": get_norm(norm, out_channels), "activation": F.relu_}
    if type_dcn:
        parts["bias"] = norm == "" and type_dcn == "DCNv2"
        return DeformConvBlock(type_dcn, in_channels, kernel_size, out_channels=out_channels, **parts)
    return init_conv(
        Conv2d(
            in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=bias or norm == "", **parts
        )
    )


class ConvTower(nn.Sequential):
    """A stack of 3x3 convolution blocks, (B, in_channels, H, W) to (B, channels, H, W)."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        num_convs: int,
        norm: Norm,
        *,
        num_coord_convs: int = 0,
        axes: str = "xy",
        num_dcn_convs: int = 0,
        type_dcn: str = "DCN",
        bias: bool = False,
    ):
        """
        Args:
            in_channels: Input channels.
            channels: Width.
            num_convs: Depth.
            norm: As in :func:`conv_block`.
            num_coord_convs: Number of first convolutions that also see coordinates.
            axes: Which coordinates; see :func:`append_coordinates`.
            num_dcn_convs: Number of last convolutions that are deformable.
            type_dcn: Their type, "DCN" or "DCNv2".
            bias: Whether ordinary convolutions have a bias even with a normalization.
        """
        blocks = []
        for index in range(num_convs):
            width = channels if index else in_channels
            width += len(axes) if index < num_coord_convs else 0
            kind = type_dcn if index >= num_convs - num_dcn_convs else ""
            blocks.append(conv_block(width, channels, norm, type_dcn=kind, bias=bias))
        super().__init__(*blocks)
        self.num_coord_convs = num_coord_convs
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        for index, block in enumerate(self):
            x = block(append_coordinates(x, self.axes) if index < self.num_coord_convs else x)
        return x
