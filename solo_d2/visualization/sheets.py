"""Sheets of pictures in rows and columns on white."""

from collections.abc import Sequence

import numpy as np

WHITE = 255


def make_sheet(rows: Sequence[Sequence[np.ndarray]], gap: int, edge: int = 0) -> np.ndarray:
    """Arranges pictures in a table; a row has one height, a column one width.

    Args:
        rows: Pictures, RGB uint8 (H, W, 3) of any size, each in the upper left corner of its cell. Rows may
            have different lengths.
        gap: White pixels between cells.
        edge: White pixels below the last row and right of the last column.

    Returns:
        RGB uint8.
    """
    heights = [max(cell.shape[0] for cell in row) for row in rows]
    columns = max(len(row) for row in rows)
    widths = [max(row[i].shape[1] for row in rows if i < len(row)) for i in range(columns)]
    height, width = (sum(sides) + gap * (len(sides) - 1) + edge for sides in (heights, widths))
    sheet = np.full((height, width, 3), WHITE, np.uint8)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        left = 0
        for cell, width in zip(row, widths, strict=False):
            sheet[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
            left += width + gap
        top += height + gap
    return sheet


def split_rows(pictures: Sequence[np.ndarray], columns: int) -> list[Sequence[np.ndarray]]:
    """Splits pictures into rows of ``columns``; the last row may be shorter."""
    return [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
