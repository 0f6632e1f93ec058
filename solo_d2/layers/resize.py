"""Bilinear resizing and flattening of pyramid levels."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def map_size(features: Tensor) -> tuple[int, int]:
    """Returns height and width of (..., H, W)."""
    return features.shape[-2], features.shape[-1]


def resize(features: Tensor, size: Sequence[int]) -> Tensor:
    """Resizes (B, C, H, W) bilinearly to ``size``, half-pixel centers, no antialiasing."""
    return F.interpolate(features, size=size, mode="bilinear", align_corners=False)


def upsample(features: Tensor) -> Tensor:
    """Doubles height and width of (B, C, H, W) bilinearly."""
    return resize(features, (2 * features.shape[-2], 2 * features.shape[-1]))


def rescale_pyramid(features: Sequence[Tensor]) -> list[Tensor]:
    """Halves the finest level and enlarges the coarsest to the size of the one before it.

    Args:
        features: Levels of shape (B, C, H_l, W_l), finest first. A single level is returned unchanged.

    Returns:
        The levels, so that strides 4, 8, 16, 32, 64 become 8, 8, 16, 32, 32.
    """
    if len(features) == 1:
        return list(features)
    first, *middle, last = features
    halved = F.interpolate(first, scale_factor=0.5, mode="bilinear", align_corners=False)
    return [halved, *middle, resize(last, features[-2].shape[-2:])]


def aligned_bilinear(maps: Tensor, factor: int) -> Tensor:
    """Upsamples so that input pixel i maps to output pixel ``factor * i + factor // 2``.

    The pixels of a map of stride s are at s // 2, s // 2 + s, ... in the image; so are the result's, with s /
    factor.

    Args:
        maps: (B, C, H, W) float.
        factor: Output pixels per input pixel, at least 1.

    Returns:
        (B, C, factor * H, factor * W); border pixels repeat the nearest input.
    """
    if factor == 1:
        return maps
    height, width = maps.shape[-2:]
    padded = F.pad(maps, (0, 1, 0, 1), mode="replicate")
    size = (factor * height + 1, factor * width + 1)
    dense = F.interpolate(padded, size=size, mode="bilinear", align_corners=True)
    shift = factor // 2
    return F.pad(dense, (shift, 0, shift, 0), mode="replicate")[..., : factor * height, : factor * width]


def flatten_levels(levels: Sequence[Tensor]) -> Tensor:
    """Joins maps (B, D, H_l, W_l) to (B, K, D): level by level, row by row."""
    flat = [level.flatten(2) for level in levels]
    joined = torch.cat(flat, dim=2) if len(flat) > 1 else flat[0]  # one level needs no copy
    return joined.transpose(1, 2)


def restore_size(
    maps: Tensor,
    image_size: Sequence[int],
    output_size: Sequence[int],
    stride: int,
    *,
    aligned: bool = False,
) -> Tensor:
    """Upsamples maps to the padded network input, crops the padding, and resizes to the output.

    Args:
        maps: (N, C, h, w) float over the padded network input.
        image_size: Height and width of the network input without padding.
        output_size: Height and width of the results.
        stride: Network-input pixels per map pixel.
        aligned: Whether to upsample with :func:`aligned_bilinear` instead of half-pixel centers.

    Returns:
        (N, C, *output_size).
    """
    h, w = maps.shape[-2:]
    full = aligned_bilinear(maps, stride) if aligned else resize(maps, (h * stride, w * stride))
    full = full[..., : image_size[0], : image_size[1]]
    return full if tuple(image_size) == tuple(output_size) else resize(full, output_size)
