"""Very long images keep a pixel of their short side; large-scale jitter."""

import numpy as np
import pytest

from detectron2.data import transforms as T
from solo_d2.data.augmentations.resize import KeepOnePixel, ScaleJitter
from solo_d2.utils.errors import InputError


@pytest.mark.parametrize(
    "shape, size",
    [((1, 5000), (1, 200)), ((5000, 1), (200, 1)), ((40, 60), (96, 144)), ((100, 50), (192, 96))],
)
def test_both_sides_have_a_pixel(shape, size):
    plain = T.ResizeShortestEdge([96], 200, "choice")
    image = np.zeros((*shape, 3), np.uint8)
    transform = KeepOnePixel(plain).get_transform(image)
    assert transform.apply_image(image).shape[:2] == size
    if min(shape) > 1:
        assert plain.get_transform(image).apply_image(image).shape[:2] == size


def test_it_calls_itself_what_it_wraps():
    plain = T.ResizeShortestEdge([96], 200, "choice")
    assert repr(KeepOnePixel(plain)) == repr(plain)


def jitter(*factors):
    return ScaleJitter(KeepOnePixel(T.ResizeShortestEdge([96], 200, "choice")), factors)


@pytest.mark.parametrize(
    ("factors", "size", "shown"),
    [((0.5, 0.5), (48, 72), 1.0), ((2, 2), (96, 144), 0.5), ((1, 1), (96, 144), 1.0)],
)
def test_jitter_cuts_a_window_of_the_size_without_it(factors, size, shown):
    """An image whose values are its columns shows which part of it, and how large, was taken."""
    image = np.tile(np.linspace(0, 250, 60), (40, 1)).astype(np.uint8)[..., None].repeat(3, 2)
    starts = set()
    for seed in range(8):
        np.random.seed(seed)
        taken = jitter(*factors).get_transform(image).apply_image(image)
        assert taken.shape == (*size, 3)
        width = (int(taken[0, -1, 0]) - int(taken[0, 0, 0])) / 250
        assert width == pytest.approx(shown, abs=0.04)
        starts.add(int(taken[0, 0, 0]))
    assert (len(starts) > 4) == (shown < 1)


def test_points_and_labels_move_with_the_pixels():
    image = np.zeros((40, 60, 3), np.uint8)
    image[20, 30] = 255
    for seed in range(20):
        np.random.seed(seed)
        transform = jitter(0.5, 2.0).get_transform(image)
        moved = transform.apply_image(image)[..., 0]
        label = transform.apply_segmentation(image[..., 0])
        assert label.shape == moved.shape
        x, y = transform.apply_coords(np.array([[30.5, 20.5]]))[0]
        if 2 <= x < moved.shape[1] - 2 and 2 <= y < moved.shape[0] - 2:
            top, left = np.unravel_index(moved.argmax(), moved.shape)
            assert abs(left + 0.5 - x) <= 1.5 and abs(top + 0.5 - y) <= 1.5


def test_a_single_pixel_survives_jitter():
    image = np.zeros((1, 5000, 3), np.uint8)
    assert jitter(0.1, 0.1).get_transform(image).apply_image(image).shape == (1, 20, 3)


@pytest.mark.parametrize("factors", [(0, 1), (2, 1), (1,), (float("nan"), 1)])
def test_impossible_factors(factors):
    with pytest.raises(InputError, match="factors"):
        jitter(*factors)
