"""Greedy non-maximum suppression of boxes, class by class, in plain PyTorch.

N: boxes, best score first.
"""

import torch
from torch import Tensor

from solo_d2.utils.errors import InputError

from .checks import check_boxes, check_iou_threshold

# Number of boxes that are compared with each other at a time.
_BLOCK = 512


def box_nms(boxes: Tensor, labels: Tensor, iou_threshold: float, max_kept: int | None = None) -> Tensor:
    """Returns the indices of boxes kept by greedy per-class NMS.

    Boxes are processed in blocks. First, boxes of the block that overlap an already kept box are removed.
    Then suppression inside the block is iterated, starting from "all are kept", until nothing changes. The
    result equals that of greedy NMS, one box at a time.

    Args:
        boxes: (N, 4) float XYXY, in descending order of score.
        labels: (N,) int64.
        iou_threshold: A larger IoU suppresses; at least 0.
        max_kept: Maximum number of kept boxes; None: no limit.

    Returns:
        Indices of the kept boxes, ascending, (n,) int64.

    Raises:
        InputError: If a box is inverted, NaN or beyond ±1e9, ``max_kept`` is negative, or shapes, dtypes or
            devices do not fit.
    """
    check_boxes(boxes, labels)
    check_iou_threshold(iou_threshold)
    if max_kept is not None and max_kept < 0:
        raise InputError(f"max_kept must be at least 0, not {max_kept}")
    boxes = boxes.float()
    kept = torch.zeros(0, dtype=torch.int64, device=boxes.device)
    for block in torch.arange(len(boxes), device=boxes.device).split(_BLOCK):
        if max_kept is not None and len(kept) >= max_kept:
            break
        suppressed = _suppresses(boxes, labels, kept, block, iou_threshold).any(0)
        block = block[~suppressed]
        # Boxes are sorted by score, so only earlier ones suppress: the upper triangle.
        inside = _suppresses(boxes, labels, block, block, iou_threshold).triu(diagonal=1)
        kept = torch.cat([kept, block[_greedy(inside)]])
    return kept[:max_kept]


def _greedy(suppresses: Tensor) -> Tensor:
    """Solves alive[j] = no alive i < j suppresses j, given the upper triangle (n, n): (n,) bool.

    After t rounds the first t entries are final, so n rounds suffice; usually a few are enough.
    """
    alive = torch.ones(len(suppresses), dtype=torch.bool, device=suppresses.device)
    while True:
        renewed = ~(suppresses & alive[:, None]).any(0)
        if torch.equal(renewed, alive):
            return alive
        alive = renewed


def _suppresses(boxes: Tensor, labels: Tensor, by: Tensor, whom: Tensor, iou_threshold: float) -> Tensor:
    """Returns True where the IoU of same-class boxes exceeds the threshold: (len(by), len(whom)) bool."""
    a, b = boxes[by], boxes[whom]
    corner = torch.minimum(a[:, None, 2:], b[None, :, 2:]) - torch.maximum(a[:, None, :2], b[None, :, :2])
    intersection = corner.clamp(min=0).prod(-1)
    union = _area(a)[:, None] + _area(b)[None] - intersection
    # A product instead of a quotient: an empty union needs no special case.
    return (intersection > iou_threshold * union) & (labels[by][:, None] == labels[whom][None])


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).prod(-1)
