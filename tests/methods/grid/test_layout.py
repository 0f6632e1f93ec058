"""Numbering of cells over levels."""

import pytest
import torch

from solo_d2.methods.grid.layout import GridLayout
from solo_d2.utils.errors import InputError


def test_cells_are_numbered_level_by_level():
    layout = GridLayout.from_lists([8, 16, 32], [4, 3, 1], [(1, 8), (4, 16), (8, 99)])
    assert layout.num_cells == 26
    assert layout.offsets == [0, 16, 25]
    assert layout.cell_strides(torch.device("cpu")).tolist() == [8] * 16 + [16] * 9 + [32]


def test_locate_undoes_the_numbering():
    layout = GridLayout.from_lists([8, 16, 32], [4, 3, 1], [(1, 8), (4, 16), (8, 99)])
    level, cell = layout.locate(torch.tensor([25, 0, 15, 16, 24]))
    assert level.tolist() == [2, 0, 0, 1, 1]
    assert cell.tolist() == [0, 0, 15, 0, 8]
    assert layout.locate(torch.zeros(0, dtype=torch.int64))[0].shape == (0,)


def test_lists_of_different_length_are_refused():
    with pytest.raises(InputError, match="one entry per level, but have 2, 1 and 1"):
        GridLayout.from_lists([8, 16], [4], [(1, 8)])
