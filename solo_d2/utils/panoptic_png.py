"""COCO's panoptic PNG files: a segment's id is R + 256 G + 256^2 B, and 0 is void."""

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from .image_file import encode_png, open_image, upright

VOID = 0
LARGEST_ID = 256**3 - 1


def rgb_to_ids(rgb: np.ndarray) -> np.ndarray:
    """Converts (H, W, 3) uint8 RGB to (H, W) int32 segment ids."""
    values = rgb.astype(np.int32)
    return values[..., 0] + 256 * values[..., 1] + 256 * 256 * values[..., 2]


def ids_to_rgb(ids: np.ndarray) -> np.ndarray:
    """Converts (H, W) integer segment ids, 0 to 256^3 - 1, to (H, W, 3) uint8 RGB."""
    return np.stack([ids >> shift & 255 for shift in (0, 8, 16)], axis=-1).astype(np.uint8)


def read_id_colors(path: str | os.PathLike) -> np.ndarray:
    """Reads a panoptic PNG as (H, W, 3) uint8 RGB.

    Raises:
        UnreadableImage: The file is missing, damaged, or has no 8-bit colors.
    """
    with open_image(path) as picture:
        _check_mode(picture)
        return np.asarray(upright(picture))[..., :3]


def read_ids(path: str | os.PathLike) -> np.ndarray:
    """Reads a panoptic PNG as (H, W) int32 segment ids; errors as above."""
    return rgb_to_ids(read_id_colors(path))


def check_id_colors(path: str | os.PathLike) -> None:
    """Reads a panoptic PNG's header; errors as above."""
    with open_image(path) as picture:
        _check_mode(picture)


def _check_mode(picture: Image.Image) -> None:
    """Raises ``ValueError`` if an open file does not hold exact segment ids."""
    tiles = getattr(picture, "tile", None)
    stored = str(tiles[0][3]) if tiles else ""  # Pillow drops the low bytes of 16-bit RGB
    if picture.mode not in ("RGB", "RGBA") or "16" in stored:
        raise ValueError(
            f"it has no 8-bit RGB pixels (mode {picture.mode}{', 16 bits' if '16' in stored else ''}): "
            "segment ids are R + 256 G + 256^2 B"
        )


def segment_indices(ids: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    """Returns each pixel's index into a list of segments.

    Args:
        ids: (H, W) segment ids.
        numbers: Distinct ids of the listed segments, 1 to 256^3 - 1.

    Returns:
        (H, W) uint16: 1 + the index into ``numbers``, 0 for void and unlisted ids.
    """
    table = np.zeros(LARGEST_ID + 1, np.uint16)
    table[np.asarray(numbers, np.int64)] = np.arange(1, len(numbers) + 1)
    return table[ids]


def encode_ids(ids: np.ndarray) -> bytes:
    """Encodes (H, W) segment ids as the content of a panoptic PNG."""
    return encode_png(ids_to_rgb(ids))
