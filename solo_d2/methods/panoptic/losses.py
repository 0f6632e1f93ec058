"""Loss of a panoptic model's semantic branch (SOLOv2 paper, appendix F; Panoptic-FPN)."""

import torch.nn.functional as F
from torch import Tensor


def semantic_cross_entropy(logits: Tensor, labels: Tensor, ignore_value: int) -> Tensor:
    """Computes the cross entropy, averaged over all pixels that have a label.

    Args:
        logits: (B, C, H, W) float.
        labels: (B, H, W) int64, classes or ``ignore_value``.
        ignore_value: Label of ignored pixels.

    Returns:
        A scalar; if no pixel has a label, 0 with a gradient of zeros.
    """
    total = F.cross_entropy(logits, labels, ignore_index=ignore_value, reduction="sum")
    return total / (labels != ignore_value).sum().clamp(min=1)
