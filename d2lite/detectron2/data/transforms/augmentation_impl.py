"""The augmentations; they draw from numpy's global random generator."""

import sys
from collections.abc import Sequence

import numpy as np
from fvcore.transforms.transform import (
    CropTransform,
    HFlipTransform,
    NoOpTransform,
    Transform,
    VFlipTransform,
)
from PIL import Image

from .augmentation import Augmentation
from .transform import ResizeTransform


class RandomFlip(Augmentation):
    """Flips along one axis, with a probability.

    Args:
        prob: Probability of the flip.
        horizontal: Whether to mirror left and right.
        vertical: Whether to mirror top and bottom; exactly one of the two must be set.
    """

    prob: float
    horizontal: bool

    def __init__(self, prob: float = 0.5, *, horizontal: bool = True, vertical: bool = False):
        if horizontal == vertical:
            raise ValueError(
                "RandomFlip flips along one axis: set exactly one of horizontal and vertical. "
                "For both, use two RandomFlip."
            )
        self._init(locals())

    def get_transform(self, image: np.ndarray) -> Transform:
        h, w = image.shape[:2]
        if self._rand_range() >= self.prob:
            return NoOpTransform()
        return HFlipTransform(w) if self.horizontal else VFlipTransform(h)


class ResizeShortestEdge(Augmentation):
    """Resizes the shorter side to a (random) length, keeping the aspect ratio.

    Args:
        short_edge_length: Lengths to choose from, the two ends of a "range", or one length. Length
            0 leaves the image unchanged.
        max_size: Limit of the longer side; it overrides the length of the shorter one.
        sample_style: "range" (both ends included) or "choice".
        interp: A Pillow resampling filter.
    """

    short_edge_length: Sequence[int]
    max_size: int
    interp: int

    def __init__(
        self,
        short_edge_length: int | Sequence[int],
        max_size: int = sys.maxsize,
        sample_style: str = "range",
        interp: int = int(Image.Resampling.BILINEAR),
    ):
        assert sample_style in ("range", "choice"), f"Unknown sample_style: {sample_style}"
        self.is_range = sample_style == "range"
        if isinstance(short_edge_length, int):
            short_edge_length = (short_edge_length, short_edge_length)
        if self.is_range:
            assert len(short_edge_length) == 2, (
                f"sample_style 'range' needs two lengths, got {short_edge_length}."
            )
        self._init(locals())

    def get_transform(self, image: np.ndarray) -> Transform:
        h, w = image.shape[:2]
        if self.is_range:
            size = np.random.randint(self.short_edge_length[0], self.short_edge_length[1] + 1)
        else:
            size = np.random.choice(self.short_edge_length)
        if size == 0:
            return NoOpTransform()
        return ResizeTransform(h, w, *self.get_output_shape(h, w, size, self.max_size), self.interp)

    @staticmethod
    def get_output_shape(oldh: int, oldw: int, short_edge_length: int, max_size: int) -> tuple[int, int]:
        """Returns (h, w) of the resized image, rounded to whole pixels."""
        size = float(short_edge_length)
        scale = size / min(oldh, oldw)
        newh, neww = (size, scale * oldw) if oldh < oldw else (scale * oldh, size)
        if max(newh, neww) > max_size:
            shrink = max_size / max(newh, neww)
            newh, neww = newh * shrink, neww * shrink
        return int(newh + 0.5), int(neww + 0.5)


class RandomCrop(Augmentation):
    """Crops a random window.

    Args:
        crop_type: The meaning of ``crop_size``.
            "relative": fractions of height and width;
            "relative_range": the smallest fractions, each side is drawn between them and 1;
            "absolute": pixels, at most the image's side;
            "absolute_range": both sides are drawn between crop_size[0] and crop_size[1] pixels.
        crop_size: Two numbers, (h, w) unless "absolute_range".
    """

    crop_type: str
    crop_size: Sequence[float]

    def __init__(self, crop_type: str, crop_size: Sequence[float]):
        known = ("relative_range", "relative", "absolute", "absolute_range")
        assert crop_type in known, f"Unknown crop type '{crop_type}', expected one of {known}."
        self._init(locals())

    def get_transform(self, image: np.ndarray) -> Transform:
        h, w = image.shape[:2]
        crop_h, crop_w = self.get_crop_size((h, w))
        assert h >= crop_h and w >= crop_w, f"A crop of {crop_h}x{crop_w} from an image of {h}x{w}."
        y0 = np.random.randint(h - crop_h + 1)
        x0 = np.random.randint(w - crop_w + 1)
        return CropTransform(x0, y0, crop_w, crop_h)

    def get_crop_size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Returns (h, w) in pixels for an image of size (h, w)."""
        h, w = image_size
        if self.crop_type == "absolute":
            return min(int(self.crop_size[0]), h), min(int(self.crop_size[1]), w)
        if self.crop_type == "absolute_range":
            low, high = map(int, self.crop_size)
            assert low <= high, f"crop_size of absolute_range must be (low, high), got {low}, {high}."
            crop_h = np.random.randint(min(h, low), min(h, high) + 1)
            crop_w = np.random.randint(min(w, low), min(w, high) + 1)
            return crop_h, crop_w
        fraction: np.ndarray = np.asarray(self.crop_size, dtype=np.float32)
        if self.crop_type == "relative_range":
            fraction = fraction + np.random.rand(2) * (1 - fraction)
        return int(h * fraction[0] + 0.5), int(w * fraction[1] + 0.5)
