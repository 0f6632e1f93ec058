import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from solo_d2.utils.atomic_file import write_bytes
from solo_d2.utils.errors import InputError
from solo_d2.utils.image_file import UnreadableImage
from solo_d2.utils.panoptic_png import (
    LARGEST_ID,
    check_id_colors,
    encode_ids,
    ids_to_rgb,
    read_ids,
    rgb_to_ids,
    segment_indices,
)


def test_ids_and_colors():
    ids = np.array([[0, 1, 255], [256, 65536 + 2 * 256 + 3, LARGEST_ID]])
    rgb = ids_to_rgb(ids)
    assert rgb[1, 1].tolist() == [3, 2, 1] and rgb.dtype == np.uint8
    assert np.array_equal(rgb_to_ids(rgb), ids)


def test_places_in_a_list_of_segments():
    ids = np.array([[0, 7, LARGEST_ID], [9, 7, 8]])
    assert segment_indices(ids, [LARGEST_ID, 7]).tolist() == [[0, 2, 1], [0, 2, 0]]
    assert not segment_indices(ids, []).any()


def test_files_keep_ids(tmp_path):
    ids = np.arange(3 * 700, dtype=np.int32).reshape(3, 700) * 7919
    write_bytes(tmp_path / "a" / "x.png", encode_ids(ids))
    assert np.array_equal(read_ids(tmp_path / "a" / "x.png"), ids)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["x.png"]


def test_unusable_files_are_named(tmp_path):
    with pytest.raises(InputError, match="gone.png does not exist"):
        read_ids(tmp_path / "gone.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(InputError, match="text.png cannot be read"):
        read_ids(tmp_path / "text.png")
    for mode in ("L", "P", "LA", "I;16", "1", "RGB;16B"):
        if mode == "RGB;16B":
            (tmp_path / "gray.png").write_bytes(_deep_png())
        else:
            Image.new(mode, (4, 4)).save(tmp_path / "gray.png")
        for read in (read_ids, check_id_colors):
            with pytest.raises(UnreadableImage, match="gray.png cannot be read: it has no 8-bit RGB"):
                read(tmp_path / "gray.png")


def _deep_png() -> bytes:
    """Encodes 2 x 2 pixels with 16 bits per color, which Pillow can read but not write."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0))]
    parts += [(b"IDAT", zlib.compress((b"\0" + bytes(12)) * 2)), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_an_alpha_channel_is_ignored(tmp_path):
    Image.fromarray(np.full((2, 2, 4), 1, np.uint8)).save(tmp_path / "rgba.png")
    assert read_ids(tmp_path / "rgba.png").tolist() == [[65793] * 2] * 2
