"""IoU of every mask with the better ones of its class."""

import torch
from torch import Tensor

from solo_d2.utils.errors import InputError

from .pack_masks import PIXELS_PER_BLOCK, WORD_BITS, unpack_bits

torch.library.define(
    "solo_d2::mask_iou", "(Tensor masks, Tensor? labels=None, float threshold=0.5) -> Tensor"
)


def mask_iou(masks: Tensor, labels: Tensor | None = None, threshold: float = 0.5) -> Tensor:
    """Computes the upper triangle of the masks' IoU matrix.

    Args:
        masks: (N, H, W) bool, uint8 or floating as in :func:`pack_masks`, or (N, W) int64, its bits.
        labels: (N,) int32 or int64; pairs of different labels get 0. None: one class.
        threshold: As in :func:`pack_masks`; without meaning for bits.

    Returns:
        (N, N) float32, entry [i, j] the IoU of masks i < j, 0 elsewhere and where the union is empty.

    Raises:
        InputError: If shapes or dtypes do not fit.
    """
    check_masks(masks, labels)
    return torch.ops.solo_d2.mask_iou(masks, labels, threshold)


def check_masks(masks: Tensor, labels: Tensor | None) -> None:
    """Raises an InputError unless masks and labels are what the operators take."""
    packed = masks.dtype == torch.int64
    known = packed or masks.is_floating_point() or masks.dtype in (torch.bool, torch.uint8)
    if not known or masks.dim() != (2 if packed else 3):
        raise InputError(
            "masks must be (N, H, W) bool, uint8 or floating, or the (N, W) int64 bits of pack_masks, "
            f"not {tuple(masks.shape)} {masks.dtype}"
        )
    if labels is not None and labels.shape != masks.shape[:1]:
        raise InputError(f"labels must be ({len(masks)},) like the masks, not {tuple(labels.shape)}")
    if labels is not None and labels.dtype not in (torch.int32, torch.int64):
        raise InputError(f"labels must be int32 or int64, not {labels.dtype}")


def reference(masks: Tensor, labels: Tensor | None = None, threshold: float = 0.5) -> Tensor:
    distance = jaccard_distance(masks, labels, threshold)
    return (1 - distance).float()


torch.library.impl("solo_d2::mask_iou", "default", reference)


@torch.library.register_fake("solo_d2::mask_iou")
def _fake(masks: Tensor, labels: Tensor | None = None, threshold: float = 0.5) -> Tensor:
    return masks.new_empty(len(masks), len(masks), dtype=torch.float32)


def jaccard_distance(masks: Tensor, labels: Tensor | None, threshold: float) -> Tensor:
    """Returns 1 - IoU of i < j without cancellation: (N, N) float64, 1 elsewhere and for other labels."""
    intersection = _intersections(masks, threshold)
    area = intersection.diagonal()
    union = area[:, None] + area[None, :] - intersection
    related = torch.ones_like(union, dtype=torch.bool).triu_(diagonal=1) & (union > 0)
    if labels is not None:
        related &= labels[:, None] == labels[None, :]
    return torch.where(related, (union - intersection) / union, 1.0)


def _intersections(masks: Tensor, threshold: float) -> Tensor:
    """Common pixels of every pair: (N, N) float64, exact."""
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
