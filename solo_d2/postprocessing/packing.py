"""Masks that are computed, packed into bits and forgotten, few at a time."""

from collections.abc import Callable

import torch
from torch import Tensor

from solo_d2.ops import pack_masks

# Bytes of float32 soft masks that may be alive at once.
_CHUNK_BYTES = 1 << 26


def pack_computed_masks(
    masks_of: Callable[[Tensor], Tensor],
    count: int,
    mask_size: tuple[int, int],
    threshold: float,
    device: torch.device,
) -> tuple[Tensor, Tensor, Tensor]:
    """Packs ``count`` soft masks with memory for only a part of them.

    Args:
        masks_of: Maps positions, (n,) int64 in [0, count), to soft masks (n, h, w).
        count: How many there are.
        mask_size: (h, w).
        threshold: As in :func:`solo_d2.ops.pack_masks`, whose results these are.
        device: Of the masks.

    Returns:
        bits (count, W) int64, area (count,) int64 and soft_sum (count,) float32.
    """
    chunk_length = max(_CHUNK_BYTES // (4 * mask_size[0] * mask_size[1]), 1)
    chunks = torch.arange(count, device=device).split(chunk_length)
    packed = [pack_masks(masks_of(index), threshold) for index in chunks]
    bits, area, soft_sum = (torch.cat(parts) for parts in zip(*packed, strict=True))
    return bits, area, soft_sum
