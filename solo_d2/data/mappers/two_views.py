"""Maps an image to two random views for contrastive learning (DenseCL, section 5.3)."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from detectron2.config import CfgNode, configurable
from solo_d2.data.augmentations.color import StrongColor, check_range
from solo_d2.data.augmentations.photometric import crop_and_resize, random_crop_box
from solo_d2.utils.errors import InputError
from solo_d2.utils.image_file import read_image
from solo_d2.utils.settings import arguments, build

from .instance import as_planes


class ViewCrop:
    """Cuts a random part out of an image and resizes it to a square."""

    def __init__(self, size: int, scale: Sequence[float], aspect_ratio: Sequence[float]):
        """
        Args:
            size: Side of a view in pixels.
            scale: Minimum and maximum fraction of the image's area in a crop.
            aspect_ratio: Minimum and maximum width / height of a crop.

        Raises:
            InputError: If one of them is out of range.
        """
        if size < 1:
            raise InputError(f"size must be a positive number of pixels, not {size}")
        check_range("scale", scale, greatest=1.0)
        check_range("aspect_ratio", aspect_ratio)
        self._size = size
        self._scale = (scale[0], scale[1])
        self._aspect_ratio = (aspect_ratio[0], aspect_ratio[1])

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Maps (H, W, 3) uint8 to a view (size, size, 3) uint8."""
        height, width = image.shape[:2]
        box = random_crop_box(height, width, self._scale, self._aspect_ratio)
        return crop_and_resize(image, box, self._size)


class TwoViewMapper:
    """Maps a record to two views, each with its own crop, colors, blur and flip; ignores labels."""

    needs_annotations = False

    @configurable
    def __init__(self, *, crop: ViewCrop, color: StrongColor, flip_prob: float):
        """
        Args:
            crop: Cuts a view out of an image.
            color: Changes colors and sharpness, in the model's channel order.
            flip_prob: Probability of a flip.
        """
        self._crop = crop
        self._color = color
        self._flip_prob = flip_prob

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        """Reads ``INPUT.VIEWS``.

        Raises:
            InputError: If a value is out of range.
        """
        color = build(StrongColor, cfg, "INPUT.VIEWS", "INPUT")
        return arguments(cls, cfg, "INPUT.VIEWS", crop=build(ViewCrop, cfg, "INPUT.VIEWS"), color=color)

    def __call__(self, record: dict) -> dict:
        """Maps one record; the record is not changed.

        Args:
            record: A record with "file_name".

        Returns:
            The record's plain fields and two views (3, S, S) uint8, "image" and "key_image".

        Raises:
            UnreadableImage: If the image cannot be read or has more than 8 bits per value.
        """
        image = read_image(record["file_name"], self._color.format)
        views = {name: self.view(image) for name in ("image", "key_image")}
        return {"file_name": record["file_name"], "image_id": record.get("image_id"), **views}

    def view(self, image: np.ndarray) -> Tensor:
        """Draws a view (3, S, S) uint8 of an image (H, W, 3) uint8 in the color's channel order."""
        view = self._crop(image)
        view = self._color.get_transform(view).apply_image(view)
        if np.random.random() < self._flip_prob:
            view = view[:, ::-1]
        return as_planes(view)
