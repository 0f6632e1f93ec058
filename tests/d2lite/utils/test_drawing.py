import numpy as np
import pytest

drawing = pytest.importorskip("detectron2.utils.drawing", reason="only d2lite draws with these functions")
SIZE = (60, 90)


def canvas(value=100):
    return np.full((*SIZE, 3), value, np.uint8)


def box_mask(x0, y0, x1, y1):
    mask = np.zeros(SIZE, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_fill_blends_inside_only():
    picture, mask = canvas(), box_mask(20, 10, 60, 50)
    drawing.fill_mask(picture, mask, (1, 0, 0), 0.5, (0, 0, 1), 1)
    assert picture[30, 40].tolist() == [178, 50, 50]
    np.testing.assert_allclose(picture[10, 40], [0, 0, 255], atol=25)
    assert (picture[~box_mask(18, 8, 62, 52)] == 100).all()


def test_fill_contours_holes_but_not_the_image_border():
    picture, mask = canvas(), np.ones(SIZE, bool)
    mask[20:40, 30:60] = False
    drawing.fill_mask(picture, mask, (0, 1, 0), 0.0, (1, 0, 0), 1)
    np.testing.assert_allclose(picture[30, 29], [255, 0, 0], atol=25)
    assert (picture[0] == 100).all() and (picture[:, -1] == 100).all()


@pytest.mark.parametrize("mask", [np.zeros(SIZE, bool), np.zeros((6, 9), bool)])
def test_fill_empty_mask(mask):
    picture = canvas()
    drawing.fill_mask(picture, mask, (1, 0, 0), 0.5, (1, 0, 0), 2)
    assert (picture == 100).all()


def test_fill_resizes_the_mask():
    picture, small = canvas(), np.zeros((6, 9), bool)
    small[2:5, 3:8] = True
    drawing.fill_mask(picture, small, (1, 1, 1), 1.0, (1, 1, 1), 1)
    white = (picture == 255).all(axis=2)
    expected = np.kron(small, np.ones((10, 10))).astype(bool)
    assert (white & expected).sum() / (white | expected).sum() > 0.85


def test_lines_close_the_polygon():
    picture = canvas()
    drawing.draw_lines(picture, np.array([[10.0, 10], [50, 10], [50, 40]]), (1, 1, 1), 1)
    assert picture[10, 30].min() > 230 and picture[25, 50].min() > 230
    assert picture[25, 30].min() > 100, "the third side"


@pytest.mark.parametrize("color", [(0, 0, 0), (0.1, 0, 0.4), (1, 1, 0), (1, 1, 1)])
def test_lighten(color):
    light = np.array(drawing.lighten(color, 0.6))
    assert light @ [0.299, 0.587, 0.114] >= 0.6 - 1e-6 and light.max() <= 1 + 1e-9
    if np.dot(color, [0.299, 0.587, 0.114]) >= 0.6:
        np.testing.assert_allclose(light, color)


def changed_box(picture):
    ys, xs = np.where((picture != 100).any(axis=2))
    return xs.min(), ys.min(), xs.max() + 1, ys.max() + 1


@pytest.mark.parametrize("place", [(-50, -50), (500, 500), (10, 20)])
def test_labels_stay_inside(place):
    picture = canvas()
    drawing.draw_labels(picture, [drawing.Label("cat", (place,), (1, 0, 0), 10)])
    x0, y0, x1, y1 = changed_box(picture)
    width, height = drawing.text_size("cat", 10)
    assert abs(x1 - x0 - width) <= 1 and abs(y1 - y0 - height) <= 1


def test_labels_make_way():
    places = ((5.0, 5.0), (5.0, 35.0))
    label = drawing.Label("cat", places, (1, 0, 0), 10)
    picture = canvas()
    drawing.draw_labels(picture, [label])
    assert changed_box(picture)[3] < 30
    drawing.draw_labels(picture, [label, label])
    assert changed_box(picture)[3] > 40


def test_label_larger_than_the_picture():
    picture = np.full((8, 8, 3), 100, np.uint8)
    drawing.draw_labels(picture, [drawing.Label("a long text", ((0, 0),), (1, 1, 1), 20)])
    assert picture.shape == (8, 8, 3)
