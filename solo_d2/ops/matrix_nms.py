"""Matrix NMS (SOLOv2 paper, section 2.2 and appendix A)."""

from typing import Any

import torch
from torch import Tensor

from .checks import check_decay, check_masks, check_scores
from .mask_iou import jaccard_distance

torch.library.define(
    "solo_d2::matrix_nms",
    "(Tensor masks, Tensor? labels, Tensor scores, str kernel='gaussian', float sigma=2.0, "
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
        masks: Best score first: (N, H, W) bool, uint8 or floating (inside where above ``threshold``), or
            the (N, W) int64 bits of :func:`pack_masks`.
        labels: (N,) int32 or int64; only masks with equal labels suppress each other. None: all do.
        scores: (N,) floating, descending.
        kernel: "gaussian", f(iou) = exp(-sigma * iou^2), or "linear", f(iou) = 1 - iou.
        sigma: Of the gaussian; 2 is the paper's exp(-iou^2 / 0.5).
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
    kernel: str = "gaussian",
    sigma: float = 2.0,
    threshold: float = 0.5,
) -> Tensor:
    _check(masks, labels, scores, kernel, sigma, threshold)
    if not len(masks):
        return scores.clone()
    distance = jaccard_distance(masks, labels, threshold)
    # How far each mask is from its closest better one: 1 minus the paper's compensation.
    gap = distance.amin(0)[:, None]
    if kernel == "gaussian":
        excess = (1 - distance) ** 2 - (1 - gap) ** 2
        decay = torch.exp(-sigma * excess.amax(0))
    else:
        # 0 / 0 is the limit that suppresses; x / 0 is no suppression.
        decay = torch.where(distance == 0, 0, distance / gap).amin(0)
    # Row j of column j has IoU 0 and so a factor of at least 1; the clamp makes it exactly 1.
    return (scores * decay.clamp(max=1)).to(scores.dtype)


torch.library.impl("solo_d2::matrix_nms", "default", reference)


@torch.library.register_fake("solo_d2::matrix_nms")
def _fake(
    masks: Tensor,
    labels: Tensor | None,
    scores: Tensor,
    kernel: str = "gaussian",
    sigma: float = 2.0,
    threshold: float = 0.5,
) -> Tensor:
    _check(masks, labels, scores, kernel, sigma, threshold)
    return torch.empty_like(scores)


def _save_inputs(ctx: Any, inputs: tuple, output: Tensor) -> None:
    masks, labels, scores, *ctx.settings = inputs
    ctx.save_for_backward(masks, labels, scores)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """A new score is the old one times its decay, and the decay of thresholded masks is constant."""
    masks, labels, scores = ctx.saved_tensors
    decay = torch.ops.solo_d2.matrix_nms(masks, labels, torch.ones_like(scores), *ctx.settings)
    return None, None, grad * decay, None, None, None


torch.library.register_autograd("solo_d2::matrix_nms", _backward, setup_context=_save_inputs)
