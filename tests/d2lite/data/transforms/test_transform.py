import numpy as np
import pytest
from PIL import Image

from detectron2.data import transforms as T

IMAGE = np.random.default_rng(0).integers(0, 256, (23, 31, 3)).astype(np.uint8)


@pytest.mark.parametrize("size", [(23, 31), (11, 80), (64, 9), (1, 1)])
def test_uint8_goes_through_pillow(size):
    out = T.ResizeTransform(23, 31, *size).apply_image(IMAGE)
    expected = np.asarray(Image.fromarray(IMAGE).resize(size[::-1], Image.BILINEAR))
    assert np.array_equal(out, expected)


def test_gray_images_keep_their_shape():
    tfm = T.ResizeTransform(23, 31, 10, 12)
    flat, single = tfm.apply_image(IMAGE[:, :, 0]), tfm.apply_image(IMAGE[:, :, :1])
    assert flat.shape == (10, 12) and single.shape == (10, 12, 1)
    assert np.array_equal(flat, single[:, :, 0])


def test_labels_take_the_nearest_pixel():
    labels = IMAGE[:, :, 0] // 64
    out = T.ResizeTransform(23, 31, 10, 12).apply_segmentation(labels)
    rows = ((np.arange(10) + 0.5) * 23 / 10).astype(int)
    columns = ((np.arange(12) + 0.5) * 31 / 12).astype(int)
    assert np.array_equal(out, labels[np.ix_(rows, columns)])


def test_float_images_are_interpolated_linearly():
    ramp = np.linspace(0, 1, 8, dtype=np.float32)[None].repeat(4, 0)
    out = T.ResizeTransform(4, 8, 4, 16).apply_image(ramp)
    assert out.dtype == np.float32
    x = np.clip((np.arange(16) + 0.5) / 2 - 0.5, 0, 7)
    np.testing.assert_allclose(out[0], np.interp(x, np.arange(8), ramp[0]), atol=1e-6)


def test_coordinates_and_boxes():
    tfm = T.ResizeTransform(20, 40, 10, 80)
    points = np.array([[1.0, 2.0], [40.0, 20.0]])
    np.testing.assert_allclose(tfm.apply_coords(points.copy()), [[2, 1], [80, 10]])
    np.testing.assert_allclose(tfm.apply_box(np.array([[1.0, 2, 3, 4]])), [[2, 1, 6, 2]])


def test_wrong_input_size_is_refused():
    with pytest.raises(AssertionError):
        T.ResizeTransform(5, 5, 3, 3).apply_image(IMAGE)
