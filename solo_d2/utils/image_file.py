"""The only place where image files are opened; any problem becomes a one-line error. Also encodes PNG."""

import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile

from detectron2.data.detection_utils import SizeMismatchError, convert_PIL_to_numpy
from detectron2.utils.file_io import PathManager

from .addresses import refuse_unsafe_address
from .errors import InputError, printable

_REASON_LENGTH = 160
# Pillow's modes for 16-bit, 32-bit and float grays are "I;16", "I", "F" and similar.
_DEEP = ("I", "F")
_TO_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# EXIF orientations that swap height and width.
_LYING = (5, 6, 7, 8)
# Formats whose size or orientation may change when the pixels are read.
_SIZED_BY_PIXELS = ("TIFF", "ICO", "ICNS")
_TEXTS_WITH_EXIF = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")

# Pillow warns of what it ignores in damaged files; their pixels are read, or the error says the rest.
warnings.filterwarnings("ignore", module=r"PIL\.")


class UnreadableImage(InputError):
    """An image that cannot be used; the message gives the file and the reason."""


class DeepImage(UnreadableImage):
    """An image with more than 8 bits per value, which Pillow would clip to white."""


# Exceptions of mappers for an unusable image. Users' own mappers raise Pillow's exceptions; any other
# exception is a bug and is not caught.
UNREADABLE = (
    UnreadableImage, SizeMismatchError, OSError, EOFError, SyntaxError, struct.error, zlib.error,
    Image.DecompressionBombError,
)  # fmt: skip


@contextmanager
def decoding(what: str) -> Iterator[None]:
    """Raises every exception of the block as an ``UnreadableImage``: decoders raise any on damaged bytes.

    Args:
        what: The image, for the message.
    """
    try:
        yield
    except UnidentifiedImageError as error:
        raise UnreadableImage(f"{what} cannot be read: it is no image or of an unknown kind") from error
    except Exception as error:
        reason = " ".join((str(error) or type(error).__name__).split())[:_REASON_LENGTH]
        kind = type(error) if isinstance(error, UnreadableImage) else UnreadableImage
        raise kind(f"{what} cannot be read: {reason}") from error


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
    what = f"image {printable(path)}"
    if not PathManager.isfile(path):
        there = PathManager.exists(path)
        raise UnreadableImage(f"{what} {'is a folder or device, not a file' if there else 'does not exist'}")
    with decoding(what), PathManager.open(path, "rb") as file, Image.open(file) as image:
        _check_pixels(image)
        yield image


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


def decode_image(content: bytes, format: str = "RGB") -> np.ndarray:
    """Decodes the bytes of an image file; see :func:`read_image`."""
    with decoding("an image's bytes"), Image.open(io.BytesIO(content)) as image:
        return image_to_array(image, format)


def read_labels(path: str | os.PathLike) -> np.ndarray:
    """Reads an image of labels: (H, W, 1) uint8, the indices of a palette or the grays.

    Raises:
        UnreadableImage: See :func:`read_image`.
    """
    with open_image(path) as image:
        return np.asarray(upright(image))[:, :, None] if image.mode == "P" else image_to_array(image, "L")


def read_size(path: str | os.PathLike) -> tuple[int, int]:
    """Reads (height, width) of an upright image from its header; the pixels may still be damaged.

    Raises:
        UnreadableImage: See :func:`read_image`.
    """
    with open_image(path) as image:
        _check_depth(image)
        if image.format in _SIZED_BY_PIXELS or (isinstance(image, PngImageFile) and _has_late_exif(image)):
            image.load()
        width, height = image.size
        return (width, height) if _orientation(image) in _LYING else (height, width)


def image_to_array(image: Image.Image, format: str = "RGB") -> np.ndarray:
    """Converts an open image without changing it; see :func:`read_image`.

    Raises:
        ValueError: If it has no pixels, or more than 8 bits per value.
    """
    _check_pixels(image)
    _check_depth(image)
    return convert_PIL_to_numpy(upright(image), format)


def upright(image: Image.Image) -> Image.Image:
    """Returns the image with pixels, turned by its EXIF orientation; a damaged EXIF block is ignored."""
    image.load()
    turn = _TO_UPRIGHT.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _check_pixels(image: Image.Image) -> None:
    if 0 in image.size:
        raise ValueError(f"it has no pixels ({image.width} x {image.height})")


def _check_depth(image: Image.Image) -> None:
    if image.mode.startswith(_DEEP):
        raise DeepImage(
            f"its grays have more than 8 bits (mode {image.mode}): convert it to 8 bits per value"
        )


def _orientation(image: Image.Image) -> int:
    """Returns EXIF's orientation as far as the file has been read; 1, upright, by default."""
    try:
        # A PNG's own method reads the pixels first.
        found = Image.Image.getexif(image).get(ExifTags.Base.Orientation)
        return found if found in _TO_UPRIGHT else 1
    except Exception:  # as in :func:`decoding`
        return 1


def _has_late_exif(image: PngImageFile) -> bool:
    """Tells whether a PNG that was just opened has an orientation behind its pixels."""
    file, late = cast(IO[bytes], image.fp), False
    position = file.tell()
    try:
        file.seek(8)
        while len(header := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", header)
            behind = file.tell() + length + 4
            if late and (kind == b"eXIf" or file.read(22).startswith(_TEXTS_WITH_EXIF)):
                return True
            late |= kind == b"IDAT"
            file.seek(behind)
        return False
    finally:
        file.seek(position)
