"""From a feature map to one vector per grid cell (SOLO paper, section 3.3, alignment)."""

import torch.nn.functional as F
from torch import Tensor

from .pyramid import resize

GRID_ALIGNMENTS = ("interpolate", "adaptive_max_pool", "region_grid")
# Sample points per cell side of the region grid; the paper says "dense" and gives no number.
REGION_POINTS = 4


def align_to_grid(features: Tensor, grid: int, alignment: str = "interpolate") -> Tensor:
    """Brings a feature map to grid x grid cells.

    Args:
        features: (B, C, H, W).
        grid: S.
        alignment: "interpolate" resizes bilinearly; "adaptive_max_pool" takes the maximum over each cell's
            pixels; "region_grid" averages REGION_POINTS^2 bilinear samples spread evenly over each cell.

    Returns:
        (B, C, S, S).
    """
    if alignment == "adaptive_max_pool":
        return F.adaptive_max_pool2d(features, grid)
    if alignment == "region_grid":
        samples = resize(features, (grid * REGION_POINTS, grid * REGION_POINTS))
        return F.avg_pool2d(samples, REGION_POINTS)
    return resize(features, (grid, grid))
