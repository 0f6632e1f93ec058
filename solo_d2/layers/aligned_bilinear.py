"""Bilinear upsampling that keeps the samples where they are (CondInst paper, section 2.1)."""

import torch.nn.functional as F
from torch import Tensor


def aligned_bilinear(maps: Tensor, factor: int) -> Tensor:
    """Upsamples so that input pixel i lies at output pixel ``factor * i + factor // 2``.

    A map of stride s has its pixels at s // 2, s // 2 + s, ...; so has the result of stride s / factor.

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
