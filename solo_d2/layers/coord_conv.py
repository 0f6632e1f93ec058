"""Coordinate channels: the position that makes a convolution's output depend on where it is."""

import torch
from torch import Tensor


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
