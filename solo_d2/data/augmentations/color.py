"""Strong random changes of color and sharpness from contrastive learning (MoCo-v2, section 3)."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from detectron2.data import transforms as T
from solo_d2.utils.errors import InputError

from .photometric import adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation, blur

Change = tuple[Callable[[np.ndarray, float], np.ndarray], float]
"""A function of an RGB image and an amount, and that amount."""

_FORMATS = ("RGB", "BGR")


class ColorTransform(T.Transform):
    """Applies changes one after the other; coordinates and labels stay the same."""

    def __init__(self, changes: Sequence[Change], image_format: str = "RGB"):
        """
        Args:
            changes: Changes in their order.
            image_format: "RGB" or "BGR", of the images.
        """
        super().__init__()
        self.changes = tuple(changes)
        self._channels = slice(None, None, -1 if image_format == "BGR" else 1)

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        """Maps (h, w, 3) uint8 to (h, w, 3) uint8."""
        if not self.changes:
            return img
        rgb = np.ascontiguousarray(img[..., self._channels])
        for change, amount in self.changes:
            rgb = change(rgb, amount)
        return np.ascontiguousarray(rgb[..., self._channels])

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        return coords

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        return segmentation


class StrongColor(T.Augmentation):
    """Random jitter, gray and blur from numpy's global generator, which the loader seeds per sample."""

    def __init__(
        self,
        *,
        jitter: Sequence[float],
        jitter_prob: float,
        gray_prob: float,
        blur_sigma: Sequence[float],
        blur_prob: float,
        format: str,
    ):
        """
        Args:
            jitter: Largest relative change of brightness, contrast and saturation, and of hue in turns.
            jitter_prob: Probability of the jitter.
            gray_prob: Probability of a gray image.
            blur_sigma: Range of the blur's standard deviation, in pixels.
            blur_prob: Probability of a blur.
            format: "RGB" or "BGR", of the images.

        Raises:
            InputError: If the format is not supported, or jitter or blur is out of range.
        """
        super().__init__()
        if format not in _FORMATS:
            raise InputError(f"format is {format!r}; colors can be changed in {' and '.join(_FORMATS)} only")
        if len(jitter) != 4 or min(jitter) < 0 or jitter[3] > 0.5:
            raise InputError(
                f"jitter is four numbers, none below 0, the last at most 0.5, not {tuple(jitter)}"
            )
        check_range("blur_sigma", blur_sigma)
        self.jitter = tuple(jitter)
        self.jitter_prob = jitter_prob
        self.gray_prob = gray_prob
        self.blur_sigma = tuple(blur_sigma)
        self.blur_prob = blur_prob
        self.format = format

    def get_transform(self, image: np.ndarray) -> ColorTransform:
        """Draws a transform; ``image`` is ignored."""
        changes: list[Change] = []
        if _happens(self.jitter_prob):
            changes += self._draw_jitter()
        if _happens(self.gray_prob):
            changes.append((adjust_saturation, 0.0))
        if _happens(self.blur_prob):
            changes.append((blur, np.random.uniform(self.blur_sigma[0], self.blur_sigma[1])))
        return ColorTransform(changes, self.format)

    def _draw_jitter(self) -> list[Change]:
        """Draws brightness, contrast, saturation and hue in random order, without changes of strength 0."""
        *spreads, turns = self.jitter
        adjustments = (adjust_brightness, adjust_contrast, adjust_saturation)
        changes: list[Change] = [
            (adjust, np.random.uniform(max(0.0, 1 - spread), 1 + spread))
            for adjust, spread in zip(adjustments, spreads, strict=True)
            if spread
        ]
        if turns:
            changes.append((adjust_hue, np.random.uniform(-turns, turns)))
        return [changes[index] for index in np.random.permutation(len(changes))]


def check_range(key: str, limits: Sequence[float], greatest: float = math.inf) -> None:
    """Raises ``InputError`` unless a key is two ascending numbers in (0, ``greatest``]."""
    if len(limits) != 2 or not 0 < limits[0] <= limits[1] <= greatest:
        at_most = f" and at most {greatest:g}" if greatest < math.inf else ""
        raise InputError(f"{key} is two numbers above 0{at_most}, the lesser first, not {tuple(limits)}")


def _happens(probability: float) -> bool:
    return np.random.random() < probability
