"""Saves, resizes, and converts pictures. They are RGB uint8 (H, W, 3)."""

import math
import os
from pathlib import Path, PurePath

import numpy as np
from PIL import Image
from torch import Tensor

from solo_d2.utils.atomic_file import atomic_write
from solo_d2.utils.errors import InputError

# JPEG quality: results are kept, sheets are viewed once, activations have no fine detail.
RESULT_QUALITY = 95
SHEET_QUALITY = 85
ACTIVATIONS_QUALITY = 80
_HAS_QUALITY = ("JPEG", "WEBP")
_DEFAULT_SUFFIX = ".png"
_LARGEST_SIDE = 4096  # maximum side in pixels of an enlarged picture


def save_picture(picture: np.ndarray, path: str | os.PathLike, quality: int = SHEET_QUALITY) -> None:
    """Writes a picture atomically in the format of the file's suffix; creates its folder.

    Args:
        picture: RGB uint8 (H, W, 3).
        path: The file.
        quality: Quality of JPEG and WebP files, 1 to 95.

    Raises:
        InputError: If the suffix is not a writable picture format, or the file cannot be written.
    """
    kind = _format_of(path)
    if kind is None:
        raise InputError(f"{path}: pictures cannot be written in this format; use .jpg or .png")
    options = {"quality": quality} if kind in _HAS_QUALITY else {}
    with atomic_write(path, make_folder=True) as temporary:
        Image.fromarray(picture).save(temporary, format=kind, **options)


def writable_name(name: PurePath) -> PurePath:
    """Returns a name that :func:`save_picture` can write: unchanged, or with ``.png`` appended."""
    return name if _format_of(name) else name.with_name(name.name + _DEFAULT_SUFFIX)


def _format_of(path: str | os.PathLike) -> str | None:
    kind = Image.registered_extensions().get(Path(path).suffix.lower())
    return kind if kind in Image.SAVE else None


def enlargement(height: int, width: int, min_side: int) -> int:
    """Returns the integer factor that enlarges a small picture, so that labels do not cover its objects.

    The shorter side reaches ``min_side``, unless the longer one would exceed 4,096 pixels.
    """
    wanted = math.ceil(min_side / min(height, width))
    return max(1, min(wanted, _LARGEST_SIDE // max(height, width)))


def shrink(picture: np.ndarray, side: int) -> np.ndarray:
    """Returns a picture resized so that its longer side is at most ``side`` pixels."""
    small = Image.fromarray(picture)
    small.thumbnail((side, side))
    return np.asarray(small)


def from_tensor(image: Tensor, input_format: str) -> np.ndarray:
    """Converts an image in a model's format to a picture.

    Args:
        image: (3, H, W), values 0 to 255.
        input_format: Order of its channels, "RGB" or "BGR".
    """
    pixels = image.byte().permute(1, 2, 0).cpu().numpy()
    return np.ascontiguousarray(pixels[:, :, ::-1] if input_format == "BGR" else pixels)
