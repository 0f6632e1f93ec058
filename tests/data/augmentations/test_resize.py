"""Very long images keep a pixel of their short side."""

import numpy as np
import pytest

from detectron2.data import transforms as T
from solo_d2.data.augmentations.resize import KeepOnePixel


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
