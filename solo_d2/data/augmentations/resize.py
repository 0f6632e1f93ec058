"""Resizing that keeps very long images at least one pixel wide, and large-scale jitter."""

from collections.abc import Sequence

import numpy as np
from fvcore.transforms.transform import CropTransform

from detectron2.data import transforms as T

from .color import check_range


class KeepOnePixel(T.Augmentation):
    """A resizing augmentation that keeps both sides at least one pixel long.

    Detectron2's own rounds the short side of a 1 x 5000 image, for example, to 0.
    """

    def __init__(self, resize: T.Augmentation):
        """
        Args:
            resize: The augmentation, such as ``ResizeShortestEdge``.
        """
        super().__init__()
        self._resize = resize

    def get_transform(self, image: np.ndarray) -> T.Transform:
        """Returns the transform of an image (H, W, C)."""
        made = self._resize.get_transform(image)
        if isinstance(made, T.ResizeTransform) and min(made.new_h, made.new_w) < 1:
            return T.ResizeTransform(made.h, made.w, max(made.new_h, 1), max(made.new_w, 1), made.interp)
        return made

    def __repr__(self) -> str:
        return repr(self._resize)


class ScaleJitter(T.Augmentation):
    """Large-scale jitter (Ghiasi et al., CVPR 2021): resizes by a random factor and cuts a window out.

    The window is as large as the image without jitter or, if the image became smaller, the whole image, which
    batches pad. Random numbers are numpy's global ones, which the loader seeds per sample.
    """

    def __init__(self, resize: T.Augmentation, factors: Sequence[float]):
        """
        Args:
            resize: Resizes without jitter, such as ``ResizeShortestEdge``.
            factors: Minimum and maximum of the factor.

        Raises:
            InputError: If the factors are out of range.
        """
        super().__init__()
        check_range("factors", factors)
        self._resize = resize
        self._factors = (float(factors[0]), float(factors[1]))

    def get_transform(self, image: np.ndarray) -> T.Transform | T.TransformList:
        """Returns the transform of an image (H, W, C)."""
        made = self._resize.get_transform(image)
        if not isinstance(made, T.ResizeTransform):
            return made
        factor = np.random.uniform(*self._factors)
        height, width = (max(1, round(factor * side)) for side in (made.new_h, made.new_w))
        high, wide = min(height, made.new_h), min(width, made.new_w)
        top, left = np.random.randint(height - high + 1), np.random.randint(width - wide + 1)
        resized = T.ResizeTransform(made.h, made.w, height, width, made.interp)
        return T.TransformList([resized, CropTransform(left, top, wide, high)])

    def __repr__(self) -> str:
        return f"ScaleJitter({self._resize!r}, factors={self._factors})"
