"""IoU of every mask with the better ones of its class."""

import torch
from torch import Tensor

from .checks import check_masks
from .pack_masks import PIXELS_PER_BLOCK, WORD_BITS, register_no_gradient, unpack_bits

torch.library.define(
    "solo_d2::mask_iou", "(Tensor masks, Tensor? labels=None, float threshold=0.5) -> Tensor"
)


def mask_iou(masks: Tensor, labels: Tensor | None = None, threshold: float = 0.5) -> Tensor:
    """Computes the upper triangle of the masks' IoU matrix.

    Args:
        masks: (N, H, W) bool, uint8 or floating as in :func:`pack_masks`, or (N, W) int64, its bits.
        labels: (N,) int32 or int64; pairs of different labels get 0. None: one class.
        threshold: As in :func:`pack_masks`; ignored for bits.

    Returns:
        (N, N) float32, entry [i, j] the IoU of masks i < j, 0 elsewhere and where the union is empty.

    Raises:
        InputError: If shapes or dtypes do not fit.
    """
    check_masks(masks, labels, threshold)
    return torch.ops.solo_d2.mask_iou(masks, labels, threshold)


def reference(masks: Tensor, labels: Tensor | None = None, threshold: float = 0.5) -> Tensor:
    check_masks(masks, labels, threshold)
    distance = jaccard_distance(masks, labels, threshold)
    return (1 - distance).float()


torch.library.impl("solo_d2::mask_iou", "default", reference)


@torch.library.register_fake("solo_d2::mask_iou")
def _fake(masks: Tensor, labels: Tensor | None = None, threshold: float = 0.5) -> Tensor:
    check_masks(masks, labels, threshold)
    count = masks.shape[0]
    return masks.new_empty(count, count, dtype=torch.float32)


register_no_gradient("mask_iou")


def jaccard_distance(masks: Tensor, labels: Tensor | None, threshold: float) -> Tensor:
    """Returns 1 - IoU of i < j without cancellation: (N, N) float64, 1 elsewhere and for other labels."""
    intersection = _intersections(masks, threshold)
    area = intersection.diagonal()
    union = area[:, None] + area[None, :] - intersection
    related = torch.ones_like(union, dtype=torch.bool).triu_(diagonal=1) & (union > 0)
    if labels is not None:
        related &= labels[:, None] == labels[None, :]
    # Counts are exact in float64, and so is their difference; 1 - IoU would lose digits near IoU 1.
    return torch.where(related, (union - intersection) / union, 1.0)


def _intersections(masks: Tensor, threshold: float) -> Tensor:
    """Counts the common pixels of every pair exactly: (N, N) float64."""
    packed = masks.dtype == torch.int64
    pixels = masks if packed else masks.flatten(1)
    total = torch.zeros(len(masks), len(masks), dtype=torch.float64, device=masks.device)
    # A block's counts are below 2^24, so the float32 product of zeros and ones is exact.
    with torch.autocast(masks.device.type, enabled=False):
        for block in pixels.split(PIXELS_PER_BLOCK // (WORD_BITS if packed else 1), dim=1):
            if packed:
                inside = unpack_bits(block)
            else:
                inside = block.float() > threshold if masks.is_floating_point() else block != 0
            inside = inside.float()
            total += inside @ inside.T
    return total
