"""Matrix NMS (SOLOv2 paper, section 2.2 and appendix A) in plain PyTorch.

N: masks, best score first.
"""

import torch
from torch import Tensor

from solo_d2.structures import InputError

# Pixels whose float copies are alive at once while intersections are counted.
_PIXELS_PER_BLOCK = 1 << 15


def matrix_nms(
    masks: Tensor, labels: Tensor, scores: Tensor, kernel: str = "gaussian", sigma: float = 2.0
) -> Tensor:
    """Lowers the score of every mask that overlaps a better one of its class.

    Args:
        masks: (N, H, W) bool, in descending order of score.
        labels: (N,) int64; only masks with equal labels suppress each other.
        scores: (N,) float, descending.
        kernel: "gaussian", f(iou) = exp(-sigma * iou^2), or "linear", f(iou) = 1 - iou.
        sigma: Of the gaussian; 2 is the paper's exp(-iou^2 / 0.5).

    Returns:
        (N,) decayed scores, in the order and dtype of ``scores``. Never NaN: a mask identical to a better
        one that is itself fully suppressed gets the limit that suppresses (0 with the linear kernel).

    Raises:
        InputError: If ``kernel`` is unknown.
    """
    if kernel not in ("gaussian", "linear"):
        raise InputError(f"Matrix NMS kernel must be 'gaussian' or 'linear', not '{kernel}'.")
    iou = _pairwise_iou(masks)
    iou = torch.where(labels[:, None] == labels[None, :], iou, 0).triu(diagonal=1)
    compensation = iou.amax(0, keepdim=True).T if len(masks) else iou
    if kernel == "gaussian":
        decay = torch.exp(-sigma * (iou**2 - compensation**2))
    else:
        decay = torch.where(iou == 1, 0, (1 - iou) / (1 - compensation).clamp(min=torch.finfo().tiny))
    # Rows i >= j have IoU 0, so their factor is at least 1 and the clamp removes it.
    decay = decay.amin(0).clamp(max=1) if len(masks) else decay.new_ones(0)
    return scores * decay.to(scores.dtype)


def _pairwise_iou(masks: Tensor) -> Tensor:
    """IoU of every pair of masks, 0 where the union is empty: (N, N) float32."""
    pixels = masks.flatten(1)
    intersection = torch.zeros(len(masks), len(masks), device=masks.device)
    for block in pixels.split(_PIXELS_PER_BLOCK, dim=1):
        block = block.float()
        intersection.addmm_(block, block.T)
    area = intersection.diagonal()
    union = area[:, None] + area[None, :] - intersection
    return intersection / union.clamp(min=1)
