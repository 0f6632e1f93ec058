"""Two random views of an image, for contrastive learning (DenseCL, section 5.3)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from detectron2.config import CfgNode, configurable
from detectron2.data import detection_utils as utils
from solo_d2.data.photometric import blur, crop_and_resize, jitter_colors, random_crop_box, to_gray
from solo_d2.structures.errors import InputError

_FORMATS = ("RGB", "BGR")


class TwoViewMapper:
    """Record -> two views, each with a crop, colours, blur and flip of its own; no label is looked at."""

    needs_annotations = False

    @configurable
    def __init__(
        self,
        *,
        size: int,
        scale: Sequence[float],
        aspect_ratio: Sequence[float],
        jitter: Sequence[float],
        jitter_prob: float,
        gray_prob: float,
        blur_sigma: Sequence[float],
        blur_prob: float,
        flip_prob: float,
        image_format: str,
    ):
        """
        Args:
            size: Side of a view in pixels.
            scale: Least and greatest share of the image's area in a crop.
            aspect_ratio: Least and greatest width / height of a crop.
            jitter: Of brightness, contrast, saturation and hue; see :func:`jitter_colors`.
            jitter_prob: How often colours change.
            gray_prob: How often they are taken away.
            blur_sigma: Least and greatest standard deviation of the blur in pixels.
            blur_prob: How often a view is blurred.
            flip_prob: How often it is mirrored.
            image_format: "RGB" or "BGR", the order of the channels that the model wants.

        Raises:
            InputError: If the format is another one.
        """
        if image_format not in _FORMATS:
            raise InputError(f"INPUT.FORMAT is one of {', '.join(_FORMATS)} for views, not {image_format!r}")
        self._size = size
        self._scale = tuple(scale)
        self._aspect_ratio = tuple(aspect_ratio)
        self._jitter = tuple(jitter)
        self._jitter_prob = jitter_prob
        self._gray_prob = gray_prob
        self._blur_sigma = tuple(blur_sigma)
        self._blur_prob = blur_prob
        self._flip_prob = flip_prob
        self._channels = slice(None) if image_format == "RGB" else slice(None, None, -1)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        node = cfg.INPUT.VIEWS
        return {
            "size": node.SIZE,
            "scale": node.SCALE,
            "aspect_ratio": node.ASPECT_RATIO,
            "jitter": node.JITTER,
            "jitter_prob": node.JITTER_PROB,
            "gray_prob": node.GRAY_PROB,
            "blur_sigma": node.BLUR_SIGMA,
            "blur_prob": node.BLUR_PROB,
            "flip_prob": node.FLIP_PROB,
            "image_format": cfg.INPUT.FORMAT,
        }

    def __call__(self, record: dict) -> dict:
        """Maps one record; the record is not changed.

        Args:
            record: with "file_name".

        Returns:
            The record's plain fields and two views (3, S, S) uint8, "image" and "key_image".
        """
        image = utils.read_image(record["file_name"], "RGB")
        views = {name: self.view(image) for name in ("image", "key_image")}
        return {"file_name": record["file_name"], "image_id": record.get("image_id"), **views}

    def view(self, image: np.ndarray) -> Tensor:
        """Draws a view (3, S, S) uint8 of an image (H, W, 3) uint8 RGB."""
        box = random_crop_box(*image.shape[:2], self._scale, self._aspect_ratio)
        view = crop_and_resize(image, box, self._size)
        if _happens(self._jitter_prob):
            view = jitter_colors(view, *self._jitter)
        if _happens(self._gray_prob):
            view = to_gray(view)
        if _happens(self._blur_prob):
            view = blur(view, np.random.uniform(*self._blur_sigma))
        if _happens(self._flip_prob):
            view = view[:, ::-1]
        return torch.from_numpy(np.ascontiguousarray(view[..., self._channels].transpose(2, 0, 1)))


def _happens(probability: float) -> bool:
    return np.random.random() < probability
