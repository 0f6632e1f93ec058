import numpy as np

from solo_d2.visualization.sheets import make_sheet, split_rows


def tile(height, width, value=0):
    return np.full((height, width, 3), value, np.uint8)


def test_cells_of_a_row_and_of_a_column_share_a_size():
    sheet = make_sheet([[tile(32, 64), tile(16, 64)], [tile(32, 32), tile(32, 64)]], gap=4)
    assert sheet.shape == (32 + 4 + 32, 64 + 4 + 64, 3)
    assert (sheet[:32, :64] == 0).all() and (sheet[:16, 68:] == 0).all()
    assert (sheet[16:36, 68:] == 255).all() and (sheet[36:, 32:68] == 255).all()


def test_edge_is_right_and_below():
    sheet = make_sheet([[tile(3, 5)]], gap=2, edge=4)
    assert sheet.shape == (7, 9, 3)
    assert (sheet[:3, :5] == 0).all() and (sheet[3:] == 255).all() and (sheet[:, 5:] == 255).all()


def test_the_last_row_may_be_short():
    tiles = [tile(3, 5, number) for number in range(3)]
    sheet = make_sheet(split_rows(tiles, 2), gap=2)
    assert sheet.shape == (8, 12, 3)
    assert [int(sheet[y, x, 0]) for y, x in ((0, 0), (0, 7), (5, 0))] == [0, 1, 2]
    assert (sheet[5:, 7:] == 255).all() and (sheet[3:5] == 255).all()


def test_fewer_tiles_than_columns():
    assert make_sheet(split_rows([tile(3, 5)], 4), gap=2).shape == (3, 5, 3)
