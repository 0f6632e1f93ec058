"""Strong changes of colour, as contrastive learning makes them (MoCo-v2; FreeSOLO's weak and strong views).

Brightness, contrast, saturation, hue and grey are affine in a pixel's three channels, so one affine map does
them together.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from detectron2.data import transforms as T

_LUMA = np.array([0.299, 0.587, 0.114])
# RGB to luma and two chroma axes (ITU-R BT.470, YIQ); a rotation of the chroma plane changes the hue.
_YIQ = np.array([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])


class ColorTransform(T.Transform):
    """Maps every pixel's channels by one affine map, then blurs; coordinates and labels stay."""

    def __init__(self, matrix: np.ndarray, offset: np.ndarray, sigma: float = 0.0):
        """
        Args:
            matrix: (3, 3) in the image's channel order.
            offset: (3,) in [0, 255].
            sigma: Standard deviation of a Gaussian blur in pixels; 0: none.
        """
        super().__init__()
        self.matrix, self.offset, self.sigma = matrix, offset, sigma

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        """Maps (h, w, 3) uint8 to the same."""
        mapped = img.reshape(-1, 3).astype(np.float32) @ self.matrix.T.astype(np.float32)
        mapped = (mapped + self.offset.astype(np.float32)).clip(0, 255).reshape(img.shape)
        if self.sigma > 0:
            mapped = cv2.GaussianBlur(mapped, (0, 0), self.sigma)
        return np.rint(mapped).astype(np.uint8)

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        return coords

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        return segmentation


class StrongColor(T.Augmentation):
    """Random jitter, grey and blur; names and defaults as in ``INPUT.STRONG_COLOR``."""

    def __init__(
        self,
        *,
        jitter: Sequence[float] = (0.4, 0.4, 0.4, 0.1),
        jitter_prob: float = 0.8,
        gray_prob: float = 0.2,
        blur_sigma: Sequence[float] = (0.1, 2.0),
        blur_prob: float = 0.5,
        image_format: str = "RGB",
    ):
        """
        Args:
            jitter: Largest relative change of brightness, contrast and saturation, and of hue in turns.
            jitter_prob: Probability of the jitter.
            gray_prob: Probability of a grey image.
            blur_sigma: Range of the blur's standard deviation, in pixels.
            blur_prob: Probability of a blur.
            image_format: "RGB" or "BGR".
        """
        super().__init__()
        self.jitter = tuple(jitter)
        self.jitter_prob = jitter_prob
        self.gray_prob = gray_prob
        self.blur_sigma = tuple(blur_sigma)
        self.blur_prob = blur_prob
        self.image_format = image_format

    def get_transform(self, image: np.ndarray) -> ColorTransform:
        """Draws a transform for (h, w, 3) uint8."""
        matrix, offset = np.eye(3), np.zeros(3)
        if np.random.rand() < self.jitter_prob:
            mean = image.reshape(-1, 3).mean(0)[:: -1 if self.image_format == "BGR" else 1]
            matrix, offset = self._draw_jitter(mean @ _LUMA)
        if np.random.rand() < self.gray_prob:
            matrix, offset = saturate(0.0) @ matrix, saturate(0.0) @ offset
        sigma = np.random.uniform(*self.blur_sigma) if np.random.rand() < self.blur_prob else 0.0
        if self.image_format == "BGR":
            matrix, offset = matrix[::-1, ::-1], offset[::-1]
        return ColorTransform(matrix, offset, sigma)

    def _draw_jitter(self, mean_luma: float) -> tuple[np.ndarray, np.ndarray]:
        """A random affine map of RGB pixels; contrast goes around the image's mean luma."""
        factors = [np.random.uniform(max(1 - strength, 0), 1 + strength) for strength in self.jitter[:3]]
        brightness, contrast, saturation = factors
        turns = np.random.uniform(-self.jitter[3], self.jitter[3])
        chroma = saturate(saturation) @ rotate_hue(turns)
        offset = np.full(3, (1 - contrast) * brightness * mean_luma)
        return contrast * brightness * chroma, chroma @ offset


def saturate(factor: float) -> np.ndarray:
    """The matrix that scales RGB colours' distance from grey by a factor, 0 for grey."""
    return factor * np.eye(3) + (1 - factor) * np.tile(_LUMA, (3, 1))


def rotate_hue(turns: float) -> np.ndarray:
    """The matrix that turns RGB colours around the grey axis, keeping luma."""
    angle = 2 * np.pi * turns
    c, s = np.cos(angle), np.sin(angle)
    rotation = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return np.linalg.inv(_YIQ) @ rotation @ _YIQ
