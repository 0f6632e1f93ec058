import numpy as np
import pytest
import torch

from solo_d2.methods.grid.activations import Behavior
from solo_d2.methods.grid.layout import GridLayout
from solo_d2.visualization.activations import (
    View,
    arrange,
    colorize,
    draw_activations,
    draw_channels,
    draw_kernels,
    surest_cells,
)

FRAME = (255, 60, 0)


@pytest.fixture
def view():
    """An image of 48 x 64 in a padded input of 64 x 64."""
    return View(np.full((48, 64, 3), 100, np.uint8), (64, 64))


@pytest.fixture
def behavior():
    """Two levels, 4 x 4 and 2 x 2 cells. Each cell's mask is the 4 x 4 pixels of its own place."""
    layout = GridLayout.from_lists([8, 16], [4, 2], [[1, 32], [16, 64]])
    kernels = torch.zeros(20, 20)
    kernels[torch.arange(20), torch.arange(20)] = 2.0
    feature = torch.full((20, 16, 16), -3.0)
    for cell in range(16):
        row, column = divmod(cell, 4)
        feature[cell, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 3.0
    for cell in range(4):
        row, column = divmod(cell, 2)
        feature[16 + cell, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 3.0
    scores = torch.zeros(20, 2)
    scores[0, 1], scores[5, 0], scores[16, 0] = 0.9, 0.4, 0.8

    def soft_masks(cells):
        return (kernels[cells] @ feature.flatten(1)).unflatten(1, (16, 16)).sigmoid()

    return Behavior(layout, scores, soft_masks, feature, kernels)


def tile(sheet, row, column, rows, columns):
    high, wide = (sheet.shape[0] + 2) // rows, (sheet.shape[1] + 2) // columns
    return sheet[row * high : (row + 1) * high - 2, column * wide : (column + 1) * wide - 2]


def test_crop_follows_the_resolution(view):
    assert view.crop(torch.zeros(2, 16, 16)).shape == (2, 12, 16)
    assert view.crop(torch.zeros(5, 5)).shape == (4, 5)


def test_every_cell_is_at_its_place(behavior, view):
    sheet = draw_activations(behavior, view, 0, threshold=0.5)
    assert sheet.dtype == np.uint8
    yellow, blue = colorize(torch.tensor([[1.0, 0.0]]))[0].astype(int)
    for row, column in ((0, 1), (1, 2), (2, 3)):  # the last row of cells lies in the padding
        picture = tile(sheet, row, column, 4, 4).astype(int)
        y, x = ((2 * row + 1) * picture.shape[0] // 6, (2 * column + 1) * picture.shape[1] // 8)
        assert np.abs(picture[y, x] - yellow).max() < 12
        assert np.abs(picture[-4, 3] - blue).max() < 12
    framed = [tuple(tile(sheet, *divmod(cell, 4), 4, 4)[0, 5]) == FRAME for cell in range(16)]
    assert framed == [True] + [False] * 15


def test_channels_fill_their_range(behavior, view):
    behavior.mask_feature[3] = 0.7
    sheet = draw_channels(behavior, view)
    colors = {tuple(c) for c in tile(sheet, 0, 0, 4, 5).reshape(-1, 3).tolist()}
    assert colors == {tuple(c) for c in colorize(torch.tensor([[0.0, 1.0]]))[0].tolist()}
    constant = tile(sheet, 0, 3, 4, 5)
    assert (constant == constant[0, 0]).all()


def test_one_cell_per_object(behavior):
    """Cell 16 of the coarse level covers cells 0 and 5 of the fine one, and 0 is surer."""
    assert surest_cells(behavior, 5, 0.1) == [0, 5]
    behavior.scores[10, 0] = 0.3
    assert surest_cells(behavior, 5, 0.1) == [0, 5, 10]
    assert surest_cells(behavior, 1, 0.1) == [0]
    assert surest_cells(behavior, 5, 0.95) == [0], "the surest is shown in any case"


def test_kernels_have_a_row_per_object(behavior, view):
    behavior.scores[10, 0] = 0.3
    one = draw_kernels(behavior, view, 1, 0.1)
    two = draw_kernels(behavior, view, 5, 0.1)
    assert two.shape[1] == one.shape[1] and two.shape[0] > one.shape[0]
    # The cell is outlined in the picture; its kernel is like none but itself.
    assert (two[30:, : two.shape[1] // 6] == 0).any()


def test_arrange_fills_the_last_row():
    tiles = [np.full((3, 5, 3), i, np.uint8) for i in range(3)]
    sheet = arrange(tiles, 2)
    assert sheet.shape == (8, 12, 3) and (sheet[5:, 7:] == 255).all() and (sheet[5:, :5] == 2).all()
