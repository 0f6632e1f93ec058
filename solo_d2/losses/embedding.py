"""Semantic embedding loss (FreeSOLO, section 6.2.3, equation 6.7)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def embedding_loss(predictions: Tensor, targets: Tensor) -> Tensor:
    """1 - cosine similarity, averaged over the positives that have a target.

    Args:
        predictions: (P, D) float.
        targets: (P, D) float; a row of zeros means that there is none.

    Returns:
        A float32 scalar; 0, but still a function of the predictions, without any target.
    """
    known = targets.any(1)
    cosine = F.cosine_similarity(predictions.float(), targets.float(), dim=1)
    return torch.where(known, 1 - cosine, 0).sum() / known.sum().clamp(min=1)
