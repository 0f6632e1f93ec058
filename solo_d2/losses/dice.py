"""Dice loss (SOLO paper, section 3.3.2)."""

from torch import Tensor


def dice_loss(probabilities: Tensor, targets: Tensor, eps: float = 1e-3) -> Tensor:
    """Computes 1 - 2 sum(pq) / (sum(p^2) + eps + sum(q^2) + eps) for each mask, in float32.

    Args:
        probabilities: (P, ...) float in [0, 1].
        targets: (P, ...) bool or float in [0, 1].
        eps: Keeps the loss of an empty prediction against an empty target finite.

    Returns:
        (P,) float32.
    """
    p = probabilities.flatten(1).float()
    q = targets.flatten(1).to(p.dtype)
    overlap = (p * q).sum(1)
    return 1 - 2 * overlap / ((p * p).sum(1) + eps + (q * q).sum(1) + eps)
