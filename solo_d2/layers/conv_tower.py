"""Convolution blocks of the heads: coordinate channels, convolution, normalization, ReLU."""

from collections.abc import Callable

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
        axes: Which coordinates and in which order: "xy", "x" or "y".

    Returns:
        (B, len(axes), H, W) in the features' dtype.
    """
    batch, _, height, width = features.shape
    lines = {"x": (width, (1, 1, 1, width)), "y": (height, (1, 1, height, 1))}
    coordinates = [
        torch.linspace(-1, 1, length, device=features.device, dtype=features.dtype)
        .view(shape)
        .expand(batch, 1, height, width)
        for length, shape in (lines[axis] for axis in axes)
    ]
    return torch.cat(coordinates, dim=1)


def append_coordinates(features: Tensor, axes: str = "xy") -> Tensor:
    """Appends :func:`coordinate_channels`: (B, C + len(axes), H, W), in the features' memory format."""
    return torch.cat([features, coordinate_channels(features, axes)], dim=1)


Norm = str | Callable[[int], nn.Module]

# Standard deviation of every head convolution's initial weights (the published models').
_INIT_STD = 0.01
_DEFORM_CONVS = {"DCN": DeformConv, "DCNv2": ModulatedDeformConv}


def init_conv(conv: nn.Module, bias: float = 0.0) -> nn.Module:
    """Initializes a head convolution in place with N(0, 0.01) weights and a constant bias; returns it."""
    nn.init.normal_(conv.weight, std=_INIT_STD)
    if conv.bias is not None:
        nn.init.constant_(conv.bias, bias)
    return conv


class DeformConvBlock(nn.Module):
    """A deformable convolution whose offsets (and factors, "DCNv2") are predicted from its own input."""

    def __init__(self, dcn_type: str, in_channels: int, kernel_size: int, **conv):
        """
        Args:
            dcn_type: "DCN" or "DCNv2".
            in_channels: Input channels.
            kernel_size: Odd side of the kernel.
            **conv: Further arguments of Detectron2's deformable convolutions.

        Raises:
            InputError: If ``dcn_type`` is unknown.
        """
        super().__init__()
        if dcn_type not in _DEFORM_CONVS:
            raise InputError(f"TYPE_DCN must be one of {', '.join(_DEFORM_CONVS)}, not '{dcn_type}'.")
        taps = kernel_size**2
        self.num_offsets = 2 * taps
        self.num_factors = taps if dcn_type == "DCNv2" else 0
        padding = kernel_size // 2
        self.offset = Conv2d(in_channels, self.num_offsets + self.num_factors, kernel_size, padding=padding)
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)
        self.conv = init_conv(
            _DEFORM_CONVS[dcn_type](in_channels, kernel_size=kernel_size, padding=padding, **conv)
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
    dcn_type: str = "",
    *,
    bias: bool = False,
) -> nn.Module:
    """Builds a same-size convolution with normalization and ReLU.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        norm: A name Detectron2's ``get_norm`` knows ("GN", "BN", "SyncBN", ...), a function from channels to
            a module, or "" for none, in which case the convolution has a bias ("DCN" has none even then).
        kernel_size: Odd side of the kernel.
        dcn_type: "DCN" or "DCNv2" for a deformable convolution, "" for an ordinary one.
        bias: Whether an ordinary convolution has a bias beside a normalization, too.
    """
    parts = {"norm": get_norm(norm, out_channels), "activation": F.relu}
    if dcn_type:
        parts["bias"] = norm == "" and dcn_type == "DCNv2"
        return DeformConvBlock(dcn_type, in_channels, kernel_size, out_channels=out_channels, **parts)
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
        dcn_type: str = "DCN",
        bias: bool = False,
    ):
        """
        Args:
            in_channels: Input channels.
            channels: Width.
            num_convs: Depth.
            norm: As in :func:`conv_block`.
            num_coord_convs: How many of the first convolutions also see coordinates.
            axes: Which coordinates; see :func:`append_coordinates`.
            num_dcn_convs: How many of the last convolutions are deformable.
            dcn_type: Their kind, "DCN" or "DCNv2".
            bias: Whether ordinary convolutions have a bias beside a normalization, too.
        """
        blocks = []
        for index in range(num_convs):
            width = channels if index else in_channels
            width += len(axes) if index < num_coord_convs else 0
            kind = dcn_type if index >= num_convs - num_dcn_convs else ""
            blocks.append(conv_block(width, channels, norm, dcn_type=kind, bias=bias))
        super().__init__(*blocks)
        self.num_coord_convs = num_coord_convs
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        for index, block in enumerate(self):
            x = block(append_coordinates(x, self.axes) if index < self.num_coord_convs else x)
        return x
