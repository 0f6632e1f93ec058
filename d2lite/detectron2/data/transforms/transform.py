"""Resizing, which fvcore's transforms lack."""

import numpy as np
import torch
import torch.nn.functional as F
from fvcore.transforms.transform import Transform
from PIL import Image

_FILTERS = Image.Resampling
_TORCH_MODES: dict[int, str] = {
    int(_FILTERS.NEAREST): "nearest",
    int(_FILTERS.BILINEAR): "bilinear",
    int(_FILTERS.BICUBIC): "bicubic",
}


class ResizeTransform(Transform):
    """Resizes to a fixed size.

    Pillow resizes uint8 images, with filters that widen when shrinking (no aliasing); torch resizes
    float images, without such widening. Other integer types and bool take the nearest pixel.

    Args:
        h: Height of the input in pixels.
        w: Width of the input in pixels.
        new_h: Height of the output in pixels.
        new_w: Width of the output in pixels.
        interp: A Pillow resampling filter; None means bilinear.
    """

    def __init__(self, h: int, w: int, new_h: int, new_w: int, interp: int | None = None):
        super().__init__()
        self.h, self.w = h, w
        self.new_h, self.new_w = new_h, new_w
        self.interp = _FILTERS.BILINEAR if interp is None else interp

    def apply_image(self, img: np.ndarray, interp: int | None = None) -> np.ndarray:
        """Resizes an image (H, W) or (H, W, C)."""
        assert img.shape[:2] == (self.h, self.w), f"{img.shape[:2]} is not {(self.h, self.w)}"
        interp = self.interp if interp is None else interp
        if img.dtype == np.uint8:
            return self._resize_uint8(img, interp)
        if img.dtype.kind in "biu":
            return self._resize_labels(img)
        return self._resize_float(img, interp)

    def _resize_uint8(self, img: np.ndarray, interp: int) -> np.ndarray:
        size = (self.new_w, self.new_h)
        if img.ndim == 3 and img.shape[2] not in (3, 4):
            channels = [Image.fromarray(np.ascontiguousarray(c)) for c in np.moveaxis(img, 2, 0)]
            return np.stack([np.asarray(c.resize(size, interp)) for c in channels], axis=2)
        return np.array(Image.fromarray(img).resize(size, interp))

    def _resize_labels(self, img: np.ndarray) -> np.ndarray:
        """Takes the nearest pixel centers, as Pillow does, for dtypes that neither library resizes."""
        rows = ((np.arange(self.new_h) + 0.5) * self.h / self.new_h).astype(np.int64)
        columns = ((np.arange(self.new_w) + 0.5) * self.w / self.new_w).astype(np.int64)
        return img[rows[:, None], columns]

    def _resize_float(self, img: np.ndarray, interp: int) -> np.ndarray:
        planes = torch.from_numpy(np.ascontiguousarray(img.reshape(self.h, self.w, -1)))
        mode = _TORCH_MODES[interp]
        resized = F.interpolate(
            planes.permute(2, 0, 1)[None],
            (self.new_h, self.new_w),
            mode=mode,
            align_corners=None if mode == "nearest" else False,
        )
        return resized[0].permute(1, 2, 0).numpy().reshape(self.new_h, self.new_w, *img.shape[2:])

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        """Scales float coordinates (N, 2) of (x, y), in place like fvcore's transforms."""
        coords[:, 0] *= self.new_w / self.w
        coords[:, 1] *= self.new_h / self.h
        return coords

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        return self.apply_image(segmentation, interp=_FILTERS.NEAREST)
