"""The only place where image files are opened; any problem becomes a one-line error. Also encodes PNG."""

import io
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from detectron2.data.detection_utils import SizeMismatchError, convert_PIL_to_numpy
from detectron2.utils.file_io import PathManager

from .addresses import refuse_unsafe_address
from .errors import InputError

_REASON_LENGTH = 160
# Pillow's modes for 16-bit, 32-bit and float grays are "I;16", "I", "F" and similar.
_DEEP = ("I", "F")
# EXIF orientations that swap height and width.
_LYING = (5, 6, 7, 8)
_EXIF_OF_PNG = {"exif", "Raw profile type exif"}


class UnreadableImage(InputError):
    """An image that cannot be used; the message gives the file and the reason."""


# Exceptions of mappers for an unusable image. Users' own mappers raise Pillow's exceptions; any other
# exception is a bug and is not caught.
UNREADABLE = (
    UnreadableImage, SizeMismatchError, OSError, EOFError, SyntaxError, struct.error, zlib.error,
    Image.DecompressionBombError,
)  # fmt: skip


@contextmanager
def open_image(path: str | os.PathLike) -> Iterator[Image.Image]:
    """Opens an image file with Pillow; every exception in the block counts as a damaged image.

    Args:
        path: A local file, or an address that Detectron2's PathManager knows.

    Raises:
        UnreadableImage: If the file is missing, not an image, damaged, or without pixels.
        InputError: The address is unsafe, see :func:`solo_d2.utils.addresses.refuse_unsafe_address`.
    """
    path = os.fspath(path)
    refuse_unsafe_address(path)
    if not PathManager.isfile(path):
        raise UnreadableImage(f"image {path} does not exist")
    try:
        with PathManager.open(path, "rb") as file, Image.open(file) as image:
            if 0 in image.size:
                raise ValueError(f"it has no pixels ({image.width} x {image.height})")
            yield image
    except UnidentifiedImageError as error:
        raise UnreadableImage(f"image {path} cannot be read: it is no image or of an unknown kind") from error
    except Exception as error:  # on damaged bytes decoders raise any exception
        reason = " ".join((str(error) or type(error).__name__).split())[:_REASON_LENGTH]
        raise UnreadableImage(f"image {path} cannot be read: {reason}") from error


def encode_png(pixels: np.ndarray) -> bytes:
    """Encodes (H, W) or (H, W, 3) uint8, gray or RGB, as the content of a PNG file."""
    with io.BytesIO() as content:
        Image.fromarray(pixels).save(content, format="PNG")
        return content.getvalue()


def read_image(path: str | os.PathLike, format: str = "RGB") -> np.ndarray:
    """Reads an image file, rotated upright by its EXIF orientation.

    Args:
        path: See :func:`open_image`.
        format: "RGB", "BGR", "L" or another format that Detectron2 knows.

    Returns:
        (H, W, C) uint8; "L" has C = 1.

    Raises:
        UnreadableImage: See :func:`open_image`; also for more than 8 bits per value.
    """
    with open_image(path) as image:
        return image_to_array(image, format)


def read_size(path: str | os.PathLike) -> tuple[int, int]:
    """Reads (height, width) of an upright image from its header; the pixels may still be damaged.

    Raises:
        UnreadableImage: See :func:`open_image`.
    """
    with open_image(path) as image:
        if image.format == "TIFF":  # Pillow rotates TIFF itself, in some versions on loading
            image.load()
        if image.format == "PNG" and not _EXIF_OF_PNG & image.info.keys():
            return image.height, image.width  # Pillow would decode the file to find EXIF at its end
        width, height = image.size
        return (width, height) if _orientation(image) in _LYING else (height, width)


def image_to_array(image: Image.Image, format: str = "RGB") -> np.ndarray:
    """Converts an open image without changing it; see :func:`read_image`.

    Raises:
        ValueError: If its grays have more than 8 bits; Pillow would clip them to white.
    """
    if image.mode.startswith(_DEEP):
        raise ValueError(
            f"its grays have more than 8 bits (mode {image.mode}): convert it to 8 bits per value"
        )
    image.load()
    return convert_PIL_to_numpy(_upright(image), format)


def _upright(image: Image.Image) -> Image.Image:
    """Returns the image rotated by its EXIF orientation; a damaged EXIF block is ignored."""
    try:
        return image if _orientation(image) == 1 else ImageOps.exif_transpose(image)
    except Exception:  # as in open_image
        return image


def _orientation(image: Image.Image) -> int:
    """Returns EXIF's orientation; 1, upright, by default."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # as in open_image
        return 1
