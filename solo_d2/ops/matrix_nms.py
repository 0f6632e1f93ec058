"""Matrix NMS, and the other mask NMS (SOLOv2 paper, section 2.2, table 3c and appendix A)."""

from typing import Any

import torch
from torch import Tensor

from solo_d2.utils.errors import InputError

from .checks import check_decay, check_iou_threshold, check_masks, check_scores, check_values
from .mask_iou import jaccard_distance, mask_iou

torch.library.define(
    "solo_d2::matrix_nms",
    # Not "kernel", a name that inductor has its own use for.
    "(Tensor masks, Tensor? labels, Tensor scores, str decay_kernel='gaussian', float sigma=2.0, "
    "float threshold=0.5) -> Tensor",
)


def matrix_nms(
    masks: Tensor,
    labels: Tensor | None,
    scores: Tensor,
    kernel: str = "gaussian",
    sigma: float = 2.0,
    threshold: float = 0.5,
) -> Tensor:
    """Lowers the score of every mask that overlaps a better one of its class.

    Works under ``torch.compile``, ``torch.export`` and CUDA graphs. Differentiable in the
    scores; the thresholded masks have no gradient.

    Args:
        masks: Best score first: (N, H, W) bool, uint8 or floating (inside if above ``threshold``), or
            the (N, W) int64 bits of :func:`pack_masks`.
        labels: (N,) int32 or int64; only masks with equal labels suppress each other. None: all do.
        scores: (N,) floating, descending.
        kernel: "gaussian", f(iou) = exp(-sigma * iou^2), or "linear", f(iou) = 1 - iou.
        sigma: Parameter of the gaussian; 2 is the paper's exp(-iou^2 / 0.5).
        threshold: In the units of floating ``masks``: a probability, or 0 for logits.

    Returns:
        (N,) decayed scores, in the order and dtype of ``scores``. Never NaN: a mask identical to a better
        one that is itself fully suppressed gets the limit that suppresses (0 with the linear kernel).

    Raises:
        InputError: If ``kernel`` is unknown, ``sigma`` is negative, or shapes, dtypes or devices do not fit.
    """
    _check(masks, labels, scores, kernel, sigma, threshold)
    return torch.ops.solo_d2.matrix_nms(masks, labels, scores, kernel, sigma, threshold)


def _check(
    masks: Tensor, labels: Tensor | None, scores: Tensor, kernel: str, sigma: float, threshold: float
) -> None:
    check_decay(kernel, sigma)
    check_masks(masks, labels, threshold)
    check_scores(scores, masks)


def reference(
    masks: Tensor,
    labels: Tensor | None,
    scores: Tensor,
    decay_kernel: str = "gaussian",
    sigma: float = 2.0,
    threshold: float = 0.5,
) -> Tensor:
    _check(masks, labels, scores, decay_kernel, sigma, threshold)
    if not len(masks):
        return scores.clone()
    distance = jaccard_distance(masks, labels, threshold)
    # Each mask's distance to its closest better one: 1 minus the paper's compensating IoU.
    gap = distance.amin(0)[:, None]
    if decay_kernel == "gaussian":
        # min over i of exp(-s iou_ij^2) / exp(-s comp_i^2) = exp(-s max over i of (iou_ij^2 - comp_i^2)):
        # one exp per column, and no division by a factor that underflows.
        excess = (1 - distance) ** 2 - (1 - gap) ** 2
        decay = torch.exp(-sigma * excess.amax(0))
    else:
        # 0 / 0: identical to a fully suppressed mask, so suppressed, too. x / 0: no suppression.
        decay = torch.where(distance == 0, 0, distance / gap).amin(0)
    # Row j of column j has IoU 0 and so a factor of at least 1; the clamp makes it exactly 1.
    return (scores * decay.clamp(max=1)).to(scores.dtype)


torch.library.impl("solo_d2::matrix_nms", "default", reference)


@torch.library.register_fake("solo_d2::matrix_nms")
def _fake(
    masks: Tensor,
    labels: Tensor | None,
    scores: Tensor,
    decay_kernel: str = "gaussian",
    sigma: float = 2.0,
    threshold: float = 0.5,
) -> Tensor:
    _check(masks, labels, scores, decay_kernel, sigma, threshold)
    return torch.empty_like(scores)


def _save_inputs(ctx: Any, inputs: tuple, output: Tensor) -> None:
    masks, labels, scores, *ctx.settings = inputs
    ctx.save_for_backward(masks, labels, scores)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """Multiplies the gradient by the decay, which is constant for thresholded masks."""
    masks, labels, scores = ctx.saved_tensors
    decay = torch.ops.solo_d2.matrix_nms(masks, labels, torch.ones_like(scores), *ctx.settings)
    return None, None, grad * decay, None, None, None


torch.library.register_autograd("solo_d2::matrix_nms", _backward, setup_context=_save_inputs)


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
        nms_type: "matrix", all at once with compensation; "hard", greedy; "soft", sequential decay by the
            best mask left; "fast", all at once, suppressed masks suppress too.
        kernel: "gaussian" or "linear" decay of "matrix" and "soft".
        sigma: Of the gaussian exp(-sigma * iou^2).
        iou_threshold: IoU above which "hard" and "fast" remove, and "soft" with the linear kernel decays.
        threshold: Of floating ``masks``.

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
    check_iou_threshold(iou_threshold)
    if nms_type == "matrix":
        return matrix_nms(masks, labels, scores, kernel, sigma, threshold)
    iou = mask_iou(masks, labels, threshold)
    if not len(iou):
        return scores.clone()
    if nms_type == "fast":
        return scores * (iou.amax(0) <= iou_threshold)
    check_values(masks, "masks")
    if nms_type == "hard":
        return scores * _kept_by_hard_nms(iou > iou_threshold).to(scores.device)
    if not scores.isfinite().all():
        raise InputError("soft NMS ranks masks by their scores: they must be finite, at least one is not")
    decay = _soft_decay(iou, kernel, sigma, iou_threshold)
    return _soft_nms(decay, scores)


def _kept_by_hard_nms(suppresses: Tensor) -> Tensor:
    """Greedy suppression, one row after the other, on the CPU: (N, N) upper triangle -> (N,) bool."""
    rows = suppresses.cpu().numpy()
    removed = rows[0] & False
    for i, row in enumerate(rows):
        if not removed[i]:
            removed |= row
    return torch.from_numpy(~removed)


def _soft_decay(iou: Tensor, kernel: str, sigma: float, iou_threshold: float) -> Tensor:
    """Factor that mask i puts on mask j, either order: (N, N) float64 with ones on the diagonal."""
    iou = iou + iou.T
    if kernel == "gaussian":  # in float32 a large sigma is infinite, and infinity times no overlap NaN
        return torch.exp(-sigma * iou.double() ** 2)
    return torch.where(iou > iou_threshold, 1 - iou, 1).double()


def _soft_nms(decay: Tensor, scores: Tensor) -> Tensor:
    """Soft-NMS (Bodla et al., 2017), on the CPU: the best mask left decays all others left."""
    rows = decay.cpu()
    current = scores.double().cpu()
    waiting = torch.ones(len(scores), dtype=torch.bool)
    for _ in range(len(scores)):
        best = torch.where(waiting, current, -torch.inf).argmax()
        waiting[best] = False
        current = torch.where(waiting, current * rows[best], current)
    return current.to(scores)
