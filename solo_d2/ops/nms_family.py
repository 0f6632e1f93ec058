"""Four published kinds of mask NMS with one signature (SOLOv2 paper, section 2.2 and table 3c)."""

import torch
from torch import Tensor

from solo_d2.utils.errors import InputError

from .checks import check_decay, check_masks, check_number, check_scores
from .mask_iou import mask_iou
from .matrix_nms import matrix_nms

NMS_TYPES = ("matrix", "fast", "hard", "soft")


def mask_nms(
    masks: Tensor,
    labels: Tensor | None,
    scores: Tensor,
    nms_type: str = "matrix",
    kernel: str = "gaussian",
    sigma: float = 2.0,
    iou_threshold: float = 0.5,
    threshold: float = 0.5,
) -> Tensor:
    """Rescores masks that overlap better ones of their class.

    Args:
        masks: Best score first, as in :func:`matrix_nms`.
        labels: (N,) int32 or int64, or None for one class.
        scores: (N,) floating, descending.
        nms_type: "matrix", in parallel with compensation; "hard", greedy; "soft", sequential decay by the
            best remaining mask; "fast", in parallel, where suppressed masks suppress, too.
        kernel: "gaussian" or "linear" decay of "matrix" and "soft".
        sigma: Parameter of the gaussian exp(-sigma * iou^2).
        iou_threshold: IoU above which "hard" and "fast" remove, and "soft" with the linear kernel decays.
        threshold: Threshold of floating ``masks``.

    Returns:
        (N,) new scores in the order and dtype of ``scores``; 0 for removed masks.

    Raises:
        InputError: If ``nms_type`` or ``kernel`` is unknown, ``sigma`` is negative, shapes, dtypes or devices
            do not fit, or soft NMS gets a score that is not finite.
    """
    if nms_type not in NMS_TYPES:
        raise InputError(f"NMS type must be one of {', '.join(NMS_TYPES)}, not {nms_type!r}")
    check_decay(kernel, sigma)
    check_masks(masks, labels, threshold)
    check_scores(scores, masks)
    check_number("iou_threshold", iou_threshold)
    if nms_type == "matrix":
        return matrix_nms(masks, labels, scores, kernel, sigma, threshold)
    iou = mask_iou(masks, labels, threshold)
    if not len(iou):
        return scores.clone()
    if nms_type == "fast":
        return scores * (iou.amax(0) <= iou_threshold)
    if nms_type == "hard":
        return scores * _kept_by_hard_nms(iou > iou_threshold).to(scores.device)
    if not scores.isfinite().all():
        raise InputError("soft NMS ranks masks by their scores: all must be finite, at least one is not")
    decay = _soft_decay(iou, kernel, sigma, iou_threshold)
    return _soft_nms(decay, scores)


def _kept_by_hard_nms(suppresses: Tensor) -> Tensor:
    """Suppresses greedily, row by row on the CPU: (N, N) upper triangle -> (N,) bool."""
    rows = suppresses.cpu().numpy()
    removed = rows[0] & False
    for i, row in enumerate(rows):
        if not removed[i]:
            removed |= row
    return torch.from_numpy(~removed)


def _soft_decay(iou: Tensor, kernel: str, sigma: float, iou_threshold: float) -> Tensor:
    """Returns the symmetric factors between masks i and j: (N, N) float32 with ones on the diagonal."""
    iou = iou + iou.T
    if kernel == "gaussian":
        return torch.exp(-sigma * iou**2)
    return torch.where(iou > iou_threshold, 1 - iou, 1)


def _soft_nms(decay: Tensor, scores: Tensor) -> Tensor:
    """Applies Soft-NMS (Bodla et al., 2017) on the CPU: the best remaining mask decays all others."""
    rows = decay.cpu().double()
    current = scores.double().cpu()
    waiting = torch.ones(len(scores), dtype=torch.bool)
    for _ in range(len(scores)):
        best = torch.where(waiting, current, -torch.inf).argmax()
        waiting[best] = False
        current = torch.where(waiting, current * rows[best], current)
    return current.to(scores)
