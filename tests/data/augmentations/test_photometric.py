"""Color changes against the formulas, pixel by pixel; crops within the image."""

import colorsys

import cv2
import numpy as np
import pytest

from solo_d2.data.augmentations import photometric as ph


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)


def gray_of(image):
    return image @ np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.4])
def test_brightness_contrast_saturation(image, factor):
    gray = gray_of(image)
    for function, center in (
        (ph.adjust_brightness, 0),
        (ph.adjust_contrast, gray.mean()),
        (ph.adjust_saturation, gray[..., None]),
    ):
        expected = np.clip(center + factor * (image - center), 0, 255)
        assert np.abs(function(image, factor) - expected).max() <= 1.2, function.__name__


def test_hue_turns(image):
    turned = ph.adjust_hue(image, 1 / 3)
    for pixel, other in zip(image.reshape(-1, 3) / 255, turned.reshape(-1, 3) / 255, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        expected = colorsys.hsv_to_rgb((hue + 1 / 3) % 1, saturation, value)
        assert np.abs(np.array(expected) - other).max() < 0.04
    assert np.abs(ph.adjust_hue(image, 0.0).astype(int) - image).max() <= 8  # 8-bit hues are coarse


def test_gray_and_blur(image):
    gray = ph.adjust_saturation(image, 0.0)
    assert (gray == gray[..., :1]).all() and np.abs(gray[..., 0] - gray_of(image)).max() <= 1
    point = np.zeros((21, 21, 3), np.uint8)
    point[10, 10] = 255
    blurred = ph.blur(point, 1.0).astype(float)[..., 0]
    y, x = np.mgrid[-10:11, -10:11]
    expected = 255 * np.exp(-(x**2 + y**2) / 2) / (2 * np.pi)
    assert np.abs(blurred - expected).max() < 1.5


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 48)])
def test_crops_lie_within_the_image(size):
    np.random.seed(0)
    areas = []
    for _ in range(200):
        top, left, h, w = ph.random_crop_box(*size, (0.2, 1.0), (3 / 4, 4 / 3))
        assert 0 <= top <= top + h <= size[0] and 0 <= left <= left + w <= size[1] and h and w
        areas.append(h * w / (size[0] * size[1]))
        if size == (64, 48):
            assert 0.7 < w / h < 1.4 or (h, w) == size
    if size == (64, 48):
        assert min(areas) < 0.3 and max(areas) > 0.8


@pytest.mark.parametrize(
    "size, box", [((10, 900), (0, 443, 10, 13)), ((900, 10), (443, 0, 13, 10)), ((64, 48), (0, 0, 64, 48))]
)
def test_where_no_crop_fits_it_is_central(size, box):
    np.random.seed(0)
    assert ph.random_crop_box(*size, (2.0, 2.0), (3 / 4, 4 / 3)) == box


def test_crop_and_resize():
    image = np.arange(16, dtype=np.uint8).reshape(4, 4, 1).repeat(3, axis=2)
    assert np.array_equal(ph.crop_and_resize(image, (1, 2, 2, 2), 2), image[1:3, 2:4])
    assert np.array_equal(ph.crop_and_resize(image, (0, 0, 4, 4), 1)[0, 0], [round(image.mean())] * 3)
    enlarged = ph.crop_and_resize(image, (1, 1, 2, 2), 8)
    assert enlarged.shape == (8, 8, 3)
    assert np.array_equal(enlarged, cv2.resize(image[1:3, 1:3], (8, 8), interpolation=cv2.INTER_LINEAR))
