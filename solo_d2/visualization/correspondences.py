"""Pictures of the cells that a pre-trained backbone matches between two views."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from solo_d2.methods.densecl.losses import mutual_matches
from solo_d2.methods.densecl.model import DenseCL

from .sheets import make_sheet

_MIN_SIDE = 384  # pixels of a drawn view; smaller ones are enlarged
_GAP = 16  # pixels between the two views
_DOT_RADIUS = 3
_SATURATION, _VALUE = 220, 255

# (row, column) of a cell in the first view and of its partner in the second.
Pair = tuple[tuple[int, int], tuple[int, int]]


@torch.no_grad()
def match_views(model: DenseCL, views: Sequence[Tensor], threshold: float) -> tuple[list[Pair], int]:
    """Finds the cells of two views that are each other's most similar one.

    Args:
        model: In evaluation mode.
        views: Two float tensors (3, S, S) in the model's channel order, values 0 to 255.
        threshold: Minimum cosine of a pair.

    Returns:
        The pairs, and the number of cells along a side of a view.
    """
    feature = model.backbone.features(model.normalize(torch.stack(list(views)).to(model.device)))
    first, second = feature.flatten(2).transpose(1, 2)
    matches, _ = mutual_matches(first, second, threshold)
    side = feature.shape[-1]
    return [(divmod(here, side), divmod(there, side)) for here, there in matches.tolist()], side


def draw_correspondences(views: Sequence[np.ndarray], pairs: Sequence[Pair], side: int) -> np.ndarray:
    """Draws two views side by side, with a line between the cells of each pair.

    Args:
        views: Two pictures, RGB uint8 (S, S, 3).
        pairs: Result of :func:`match_views`.
        side: Cells along a side of a view.

    Returns:
        RGB uint8 (k, 2 * k + 16, 3) with k at least 384.
    """
    size = max(_MIN_SIDE, views[0].shape[0])
    enlarged = [cv2.resize(view, (size, size), interpolation=cv2.INTER_CUBIC) for view in views]
    picture = make_sheet([enlarged], _GAP)
    hues = np.linspace(0, 180, len(pairs), endpoint=False)
    for hue, cells in zip(hues, pairs, strict=True):
        hsv = np.array([[[hue, _SATURATION, _VALUE]]]).astype(np.uint8)
        color = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0].tolist()
        start, end = (
            (int((column + 0.5) * size / side) + offset, int((row + 0.5) * size / side))
            for (row, column), offset in zip(cells, (0, size + _GAP), strict=True)
        )
        cv2.line(picture, start, end, color, 1, cv2.LINE_AA)
        for dot in (start, end):
            cv2.circle(picture, dot, _DOT_RADIUS, color, -1, cv2.LINE_AA)
    return picture
