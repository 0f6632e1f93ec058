"""Coordinate channels: the position that makes a convolution's output depend on where it is."""

import torch
from torch import Tensor


def append_coordinates(features: Tensor) -> Tensor:
    """Appends an x and a y channel, each running from -1 to 1 over the map (SOLO paper, section 3.2).

    Args:
        features: (B, C, H, W).

    Returns:
        (B, C + 2, H, W): the features, then x, then y, in the features' dtype and memory format.
    """
    batch, _, height, width = features.shape
    x = torch.linspace(-1, 1, width, device=features.device, dtype=features.dtype)
    y = torch.linspace(-1, 1, height, device=features.device, dtype=features.dtype)
    x = x.expand(batch, 1, height, width)
    y = y[:, None].expand(batch, 1, height, width)
    return torch.cat([features, x, y], dim=1)
