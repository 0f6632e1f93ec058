"""Changes of color and sharpness, and random crops, of (H, W, 3) uint8 RGB images."""

import cv2
import numpy as np

# OpenCV's 8-bit hues are in units of two degrees.
_HUE_TURN = 180
_CROP_ATTEMPTS = 10


def adjust_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Multiplies all values by ``factor``; 0 is black."""
    return cv2.LUT(image, _table(np.arange(256) * factor))


def adjust_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Multiplies the distance from the mean gray value by ``factor``; 0 is that gray."""
    mean = cv2.mean(_gray(image))[0]
    return cv2.LUT(image, _table(mean + (np.arange(256) - mean) * factor))


def adjust_saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Multiplies the distance from each pixel's own gray value by ``factor``; 0 is a gray image."""
    gray = cv2.cvtColor(_gray(image), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(image, factor, gray, 1 - factor, 0)


def adjust_hue(image: np.ndarray, turns: float) -> np.ndarray:
    """Rotates the hues by a fraction of the color circle."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(np.int16) + round(turns * _HUE_TURN)) % _HUE_TURN
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blurs with a Gaussian of standard deviation ``sigma`` pixels."""
    return cv2.GaussianBlur(image, (0, 0), sigma)


def random_crop_box(
    height: int, width: int, scale: tuple[float, float], aspect_ratio: tuple[float, float]
) -> tuple[int, int, int, int]:
    """Draws a crop of random area, shape, and position with numpy's global generator.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        scale: Minimum and maximum fraction of the image's area.
        aspect_ratio: Minimum and maximum width / height; its logarithm is uniform.

    Returns:
        Top, left, height, width. If no such crop fits, the largest one of a permitted shape, in the center.
    """
    for _ in range(_CROP_ATTEMPTS):
        area = height * width * np.random.uniform(*scale)
        ratio = np.exp(np.random.uniform(*np.log(aspect_ratio)))
        h, w = max(1, round((area / ratio) ** 0.5)), max(1, round((area * ratio) ** 0.5))
        if h <= height and w <= width:
            return np.random.randint(height - h + 1), np.random.randint(width - w + 1), h, w
    ratio = np.clip(width / height, *aspect_ratio)
    h, w = min(height, max(1, round(width / ratio))), min(width, max(1, round(height * ratio)))
    return (height - h) // 2, (width - w) // 2, h, w


def crop_and_resize(image: np.ndarray, box: tuple[int, int, int, int], size: int) -> np.ndarray:
    """Crops (top, left, height, width) and resizes to (size, size, 3)."""
    top, left, height, width = box
    crop = image[top : top + height, left : left + width]
    smaller = size < height and size < width
    return cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def _table(values: np.ndarray) -> np.ndarray:
    """Returns OpenCV's lookup table of the 256 values."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _gray(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
