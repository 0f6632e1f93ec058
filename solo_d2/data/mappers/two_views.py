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


class TwoViewMapper:
    """Maps a record to two views, each with its own crop, colors, blur and flip; ignores labels."""

    needs_annotations = False

    @configurable
    def __init__(
        self,
        *,
        size: int,
        scale: Sequence[float],
        aspect_ratio: Sequence[float],
        color: StrongColor,
        flip_prob: float,
    ):
        """
        Args:
            size: Side of a view in pixels.
            scale: Minimum and maximum fraction of the image's area in a crop.
            aspect_ratio: Minimum and maximum width / height of a crop.
            color: Changes colors and sharpness, in the model's channel order.
            flip_prob: Probability of a flip.

        Raises:
            InputError: If the size, the scale or the aspect ratio is out of range.
        """
        if size < 1:
            raise InputError(f"INPUT.VIEWS.SIZE must be a positive number of pixels, not {size}")
        check_range("INPUT.VIEWS.SCALE", scale, greatest=1.0)
        check_range("INPUT.VIEWS.ASPECT_RATIO", aspect_ratio)
        self._size = size
        self._scale = (scale[0], scale[1])
        self._aspect_ratio = (aspect_ratio[0], aspect_ratio[1])
        self._color = color
        self._flip_prob = flip_prob

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        color = build(StrongColor, cfg, "INPUT.VIEWS", "INPUT")
        return arguments(cls, cfg, "INPUT.VIEWS", color=color)

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
        height, width = image.shape[:2]
        box = random_crop_box(height, width, self._scale, self._aspect_ratio)
        view = crop_and_resize(image, box, self._size)
        view = self._color.get_transform(view).apply_image(view)
        if np.random.random() < self._flip_prob:
            view = view[:, ::-1]
        return as_planes(view)
