"""Files, PIL images and arrays as pictures."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from solo_d2.inputs import to_array
from solo_d2.utils.errors import InputError


@pytest.mark.parametrize(
    "kind", ["?", "i1", "u2", ">u2", "i4", "i8", "f2", "f4", "f8", "c8", "U1", "O", "u1,u1"]
)
def test_arrays_of_other_numbers_are_refused(kind):
    for shape in ((4, 5), (4, 5, 3)):
        with pytest.raises(InputError, match="an array of .* is not a picture; give uint8"):
            to_array(np.zeros(shape, kind), "RGB")


@pytest.mark.parametrize(
    "shape", [(), (5,), (5, 4, 1), (5, 4, 2), (5, 4, 4), (3, 5, 4), (1, 5, 4, 3), (0, 5, 3), (5, 0), (0, 0)]
)
def test_arrays_of_other_shapes_are_refused(shape):
    with pytest.raises(InputError, match="an array of shape .* is not a picture; give"):
        to_array(np.zeros(shape, np.uint8), "RGB")


@pytest.mark.parametrize("error", [struct.error("x"), zlib.error("x"), EOFError(), SyntaxError("x")])
def test_whatever_a_decoder_raises_is_a_damaged_picture(tmp_path, picture, monkeypatch, error):
    """One damaged file among many must not end a run over all of them."""

    def fail(*arguments, **more):
        raise error

    Image.fromarray(picture).save(tmp_path / "x.png")
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    with pytest.raises(InputError, match="x.png cannot be read"):
        to_array(tmp_path / "x.png", "RGB")


def test_deep_grays_are_refused_as_file_and_as_image(tmp_path):
    deep = Image.fromarray(np.full((4, 5), 60000, np.uint16))
    deep.save(tmp_path / "deep.png")
    for kind in (tmp_path / "deep.png", deep, Image.open(tmp_path / "deep.png")):
        with pytest.raises(InputError, match="more than 8 bits"):
            to_array(kind, "RGB")


def test_to_array_kinds(tmp_path, picture):
    grey = picture[:, :, 0]
    for kind in (grey, grey.view(np.matrix), np.ma.array(grey), np.asfortranarray(grey), grey[::-1][::-1]):
        assert np.array_equal(to_array(kind, "BGR"), np.stack([grey] * 3, axis=2))
    rotated = Image.fromarray(picture)
    exif = Image.Exif()
    exif[0x0112] = 6
    rotated.save(tmp_path / "turned.jpg", exif=exif)
    assert to_array(tmp_path / "turned.jpg", "RGB").shape == (40, 20, 3)
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    assert to_array(tmp_path / "palette.png", "RGB").shape == (20, 40, 3)
    Image.fromarray(np.dstack([picture, grey])).save(tmp_path / "alpha.png")
    assert np.array_equal(to_array(tmp_path / "alpha.png", "BGR"), picture[:, :, ::-1])
