"""Resizing of pyramid levels before the heads (SOLO paper, section 3.3)."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def resize(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes (B, C, H, W) bilinearly to ``size``, half-pixel centres, no antialiasing."""
    return F.interpolate(features, size=size, mode="bilinear", align_corners=False)


def upsample(features: Tensor) -> Tensor:
    """Doubles height and width of (B, C, H, W) bilinearly."""
    return resize(features, (2 * features.shape[-2], 2 * features.shape[-1]))


def rescale_pyramid(features: Sequence[Tensor]) -> list[Tensor]:
    """Halves the finest level and brings the coarsest to the size of the one before it.

    Args:
        features: Levels of shape (B, C, H_l, W_l), finest first. A single level is returned as it is.

    Returns:
        The levels, so that strides 4, 8, 16, 32, 64 become 8, 8, 16, 32, 32.
    """
    if len(features) == 1:
        return list(features)
    first, *middle, last = features
    halved = F.interpolate(first, scale_factor=0.5, mode="bilinear", align_corners=False)
    return [halved, *middle, resize(last, features[-2].shape[-2:])]
