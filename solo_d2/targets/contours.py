"""Contours of masks as targets (SOLO paper, appendix B.3)."""

import torch.nn.functional as F
from torch import Tensor


def trace_contours(masks: Tensor) -> Tensor:
    """Traces the lines, one pixel wide, that OpenCV's ``findContours`` does: outer ones and those of holes.

    They are the mask's pixels of which one of the four neighbours is outside; so is all beyond the image.

    Args:
        masks: (N, h, w) bool.

    Returns:
        (N, h, w) bool.
    """
    padded = F.pad(masks, (1, 1, 1, 1))
    above, below = padded[:, :-2, 1:-1], padded[:, 2:, 1:-1]
    left, right = padded[:, 1:-1, :-2], padded[:, 1:-1, 2:]
    return masks & ~(above & below & left & right)
