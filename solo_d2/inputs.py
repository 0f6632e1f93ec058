"""Pictures as a predictor takes them, one by one or from a folder, video or generator."""

import functools
import itertools
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from .data.image_paths import IMAGE_SUFFIXES, walk_images
from .utils.addresses import fetch_address, is_address
from .utils.errors import InputError, printable
from .utils.image_file import decode_image, decoding, image_to_array, read_image
from .utils.video_source import VideoSource

Item = TypeVar("Item")
Picture = str | os.PathLike | bytes | Image.Image | np.ndarray
Source = str | os.PathLike | Iterable[Picture]
CHANNEL_ORDERS = ("RGB", "BGR")
VIDEO_SUFFIXES = frozenset((".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"))
_LARGEST_PICTURE = 256 << 20  # bytes of a picture from the web
_REASON_LENGTH = 160


def to_array(picture: Picture, order: str, channels: str | None = None) -> np.ndarray:
    """Returns a picture as a uint8 array (H, W, 3) in channel order ``order``, turned as EXIF says.

    Args:
        picture: Path or address of a file, its bytes, PIL image, or array (H, W, 3) or (H, W) uint8.
        order: Order of the result, "RGB" or "BGR".
        channels: Order of a given array; RGB if None.

    Raises:
        InputError: A file cannot be read, an object has another type or shape, or an order is unknown.
    """
    for name in (order, channels or order):
        if name not in CHANNEL_ORDERS:
            raise InputError(f"channel order {name!r} is unknown; use one of {CHANNEL_ORDERS}")
    given = "RGB"
    if isinstance(picture, str | os.PathLike):
        array = read_image(_local_file(picture))
    elif isinstance(picture, bytes):
        array = decode_image(picture)
    elif isinstance(picture, Image.Image):
        array = _converted(picture)
    elif isinstance(picture, np.ndarray):
        array, given = _checked(picture), channels or "RGB"
    else:
        raise InputError(f"a {type(picture).__name__} is not a picture; give a path, image or array")
    return array if given == order else array[:, :, ::-1]


def _local_file(picture: str | os.PathLike) -> str:
    """Returns the path of a picture's file, after downloading it if it is an address."""
    path = os.fspath(picture)
    if not is_address(path):
        return path
    try:
        return fetch_address(path, _LARGEST_PICTURE)
    except InputError:
        raise
    except Exception as error:  # handlers raise any
        reason = " ".join((str(error) or type(error).__name__).split())[:_REASON_LENGTH]
        raise InputError(f"{printable(path)} could not be fetched: {reason}") from error


def pictures_in(source: object) -> Iterator[tuple[Picture, str | None]]:
    """Yields the pictures of a source one by one, with the channel order of arrays that have their own.

    Args:
        source: Path of a folder (with its subfolders, sorted by name) or of a video; one picture; or an
            iterable of pictures, such as a generator.

    Raises:
        InputError: A folder has no pictures, or a video cannot be read.
    """
    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        if os.path.isdir(path):
            yield from ((found, None) for found in _pictures_below(path))
        elif _is_video(path):
            yield from ((frame, "BGR") for frame in VideoSource(path))
        else:
            yield path, None
    elif isinstance(source, bytes | Image.Image | np.ndarray):
        yield source, None
    elif isinstance(source, Iterable):
        yield from ((picture, None) for picture in source)
    else:
        raise InputError(f"a {type(source).__name__} is no folder, video, list or generator of pictures")


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yields lists of up to ``size`` successive items."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def refuse_many(source: object) -> None:
    """Raises ``InputError`` for a folder or a video, where one picture is expected."""
    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        if os.path.isdir(path) or _is_video(path):
            kind = "folder" if os.path.isdir(path) else "video"
            raise InputError(f"{path} is a {kind}, not a picture: predictor.stream(...) takes it")


def _pictures_below(folder: str) -> list[Path]:
    found = sorted(walk_images(folder))
    if not found:
        raise InputError(f"{folder} has no pictures ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return found


def _is_video(path: str) -> bool:
    return not is_address(path) and os.path.splitext(path)[1].lower() in VIDEO_SUFFIXES


@functools.cache
def warn_of_order() -> None:
    """Warns once that arrays without ``channels`` are RGB, where they were read as BGR before."""
    warnings.warn(
        'arrays are RGB now; this model read them as BGR before. Pass channels="BGR" for arrays of OpenCV, '
        'or channels="RGB" to silence this',
        stacklevel=2,
    )


def _converted(picture: Image.Image) -> np.ndarray:
    """Returns the RGB pixels of a PIL image, under the rules for files."""
    with decoding("a PIL image"):
        return image_to_array(picture)


def _checked(array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)  # of a subclass, such as a matrix, whose indexing differs
    if array.dtype != np.uint8:
        raise InputError(f"an array of {array.dtype} is not a picture; give uint8 values 0 to 255")
    if array.ndim == 2:
        array = np.repeat(array[:, :, None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise InputError(f"an array of shape {array.shape} is not a picture; give (H, W, 3) or (H, W)")
    return array
