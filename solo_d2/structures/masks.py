"""Mass centers, boxes, and reduced copies of binary masks.

N: masks; h, w: their size in pixels.
"""

import torch
from torch import Tensor

# A byte lane of an int64 sum overflows into the next lane above this many ones.
_LANE_CAPACITY = 255


def count_rows_and_columns(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Counts the true pixels of every row and every column.

    Eight neighboring bool pixels, one byte each, are one int64 word. A sum of words is thus eight byte-wide
    sums at once, as long as the runs are short enough for a byte.

    Args:
        masks: (N, h, w) bool.

    Returns:
        Rows (N, h) and columns (N, w), int64.
    """
    n, h, w = masks.shape
    # A view as int64 needs rows of whole words at aligned addresses.
    if w % 8 or masks.storage_offset() % 8 or not masks.numel():
        padded = masks.new_zeros(n, h, w + -w % 8)
        padded[..., :w] = masks
    else:
        padded = masks.contiguous()
    words = padded.view(torch.int64)
    return _sum_lanes(words, dim=2).sum(-1), _sum_lanes(words, dim=1).flatten(1)[:, :w]


def _sum_lanes(words: Tensor, dim: int) -> Tensor:
    """Sums (N, a, b) words over ``dim``, byte lane by byte lane: (N, b or a, 8) int64."""
    runs = [run.sum(dim, keepdim=True) for run in words.split(_LANE_CAPACITY, dim=dim)]
    lanes = [run.squeeze(dim).unsqueeze(-1).view(torch.uint8) for run in runs]
    return torch.stack(lanes).sum(0)


def mass_centers(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Computes the mean position of each mask's true pixels.

    Args:
        masks: (N, h, w) bool.

    Returns:
        Centers (N, 2) float32 as x, y in pixel indices (the first pixel's center is 0), the origin for an
        empty mask; and areas (N,) int64 in pixels.
    """
    rows, columns = count_rows_and_columns(masks)
    area = rows.sum(1)
    x = (columns * torch.arange(columns.shape[1], device=masks.device)).sum(1)
    y = (rows * torch.arange(rows.shape[1], device=masks.device)).sum(1)
    centers = torch.stack([x, y], dim=1).float() / area.clamp(min=1).float()[:, None]
    return centers, area


def boxes_from_masks(masks: Tensor) -> Tensor:
    """Computes tight boxes.

    Args:
        masks: (N, h, w) bool.

    Returns:
        (N, 4) float32 XYXY, the right and lower bounds one past the last pixel; zeros for an empty mask.
    """
    x0, x1 = extent(masks.any(1))
    y0, y1 = extent(masks.any(2))
    return torch.stack([x0, y0, x1, y1], dim=1).float()


def extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the first and one past the last true index of each (N, L) row; 0 and 0 for an empty row."""
    positions = torch.arange(1, occupied.shape[1] + 1, device=occupied.device)
    ends = torch.where(occupied, positions, 0).amax(1)
    starts = torch.where(occupied, positions, occupied.shape[1] + 1).amin(1) - 1
    return torch.where(ends > 0, starts, 0), ends
