"""Resizing that keeps very long images at least one pixel wide."""

import numpy as np

from detectron2.data import transforms as T


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
