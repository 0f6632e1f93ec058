from dataclasses import replace

import numpy as np
import pytest
import torch

from solo_d2.methods.grid.activations import Activations
from solo_d2.methods.grid.layout import GridLayout
from solo_d2.visualization.activations import (
    View,
    colorize,
    draw_all,
    draw_channels,
    draw_kernels,
    draw_masks,
    surest_cells,
)

FRAME = (255, 60, 0)


@pytest.fixture
def view():
    """An image of 48 x 64 in a padded input of 64 x 64."""
    return View(np.full((48, 64, 3), 100, np.uint8), (64, 64))


@pytest.fixture
def activations():
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

    return Activations(layout, scores, soft_masks, feature, kernels)


def tile(sheet, row, column, rows, columns):
    high, wide = (sheet.shape[0] + 2) // rows, (sheet.shape[1] + 2) // columns
    return sheet[row * high : (row + 1) * high - 2, column * wide : (column + 1) * wide - 2]


def test_crop_follows_the_resolution(view):
    assert view.crop(torch.zeros(2, 16, 16)).shape == (2, 12, 16)
    assert view.crop(torch.zeros(5, 5)).shape == (4, 5)


def test_every_cell_is_at_its_place(activations, view):
    sheet = draw_masks(activations, view, 0, threshold=0.5)
    assert sheet.dtype == np.uint8
    yellow, blue = colorize(torch.tensor([[1.0, 0.0]]))[0].astype(int)
    for row, column in ((0, 1), (1, 2), (2, 3)):  # the last row of cells is in the padding
        picture = tile(sheet, row, column, 4, 4).astype(int)
        y, x = ((2 * row + 1) * picture.shape[0] // 6, (2 * column + 1) * picture.shape[1] // 8)
        assert np.abs(picture[y, x] - yellow).max() < 12
        assert np.abs(picture[-4, 3] - blue).max() < 12
    framed = [tuple(tile(sheet, *divmod(cell, 4), 4, 4)[0, 5]) == FRAME for cell in range(16)]
    assert framed == [True] + [False] * 15


def test_channels_fill_their_range(activations, view):
    activations.mask_feature[3] = 0.7
    sheet = draw_channels(activations.mask_feature, view)
    colors = {tuple(c) for c in tile(sheet, 0, 0, 4, 5).reshape(-1, 3).tolist()}
    assert colors == {tuple(c) for c in colorize(torch.tensor([[0.0, 1.0]]))[0].tolist()}
    constant = tile(sheet, 0, 3, 4, 5)
    assert (constant == constant[0, 0]).all()


def test_one_cell_per_object(activations):
    """Cell 16 of the coarse level covers cells 0 and 5 of the fine one, and 0 is surer."""
    assert surest_cells(activations, 5, 0.1) == [0, 5]
    activations.scores[10, 0] = 0.3
    assert surest_cells(activations, 5, 0.1) == [0, 5, 10]
    assert surest_cells(activations, 1, 0.1) == [0]
    assert surest_cells(activations, 5, 0.95) == [0], "the surest is shown in any case"


def test_kernels_have_a_row_per_object(activations, view):
    activations.scores[10, 0] = 0.3
    one = draw_kernels(activations, view, 1, 0.1)
    two = draw_kernels(activations, view, 5, 0.1)
    assert two.shape[1] == one.shape[1] and two.shape[0] > one.shape[0]
    # The cell is outlined in the picture; its kernel is like none but itself.
    assert (two[30:, : two.shape[1] // 6] == 0).any()


def test_a_model_gets_the_pictures_it_can(activations, view):
    assert list(draw_all(activations, view, 0, 2, 0.5)) == ["activations", "channels", "kernels"]
    without = replace(activations, kernels=None)
    assert list(draw_all(without, view, 0, 2, 0.5)) == ["activations", "channels"]
    assert list(draw_all(replace(without, mask_feature=None), view, 0, 2, 0.5)) == ["activations"]
    with pytest.raises(ValueError, match="no kernels"):
        draw_kernels(without, view, 1, 0.1)
