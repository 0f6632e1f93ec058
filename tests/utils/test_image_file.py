"""Whatever is wrong with an image file is one line, and one kind of error."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from solo_d2.utils.errors import InputError
from solo_d2.utils.image_file import (
    DeepImage,
    UnreadableImage,
    image_to_array,
    open_image,
    read_image,
    read_labels,
    read_size,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)


def encoded(kind: str, pixels=PIXELS, **options) -> bytes:
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, kind, **options)
        return file.getvalue()


def png_with_long_text() -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * (PngImagePlugin.MAX_TEXT_CHUNK + 1), zip=True)
    return encoded("PNG", pnginfo=text)


DAMAGED = {
    "text.jpg": b"no picture",
    "empty.png": b"",
    "long_text.png": png_with_long_text(),
    "cut.png": encoded("PNG")[:300],
    "cut.ppm": encoded("PPM")[:40],
    "header.ppm": b"P6 x 7 255 ",
    "zero.ppm": b"P6 0 5 255\n",
    "zero.bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 0, 0, 1, 24, 0, 0, 0, 0, 0, 0),
    "cut.sgi": encoded("SGI")[:520],
    "cut.dds": b"DDS " + struct.pack("<I", 124) + bytes(40),
    "cut.tif": encoded("TIFF")[:60],
    "cut.gif": encoded("GIF")[:30],
    "cut.webp": encoded("WEBP")[:40],
    "cut.avif": b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B" + bytes(40),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_one_line(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(DAMAGED[name])
    with pytest.raises(UnreadableImage, match=f"^image .*{name} cannot be read: ") as caught:
        read_image(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_no_such_file(tmp_path):
    for path, message in (
        (tmp_path / "gone\nwhere.png", r"gone\\nwhere.png does not exist$"),
        (tmp_path, "is a folder"),
    ):
        with pytest.raises(UnreadableImage, match=message) as caught:
            read_image(path)
        assert "\n" not in str(caught.value)


def test_an_image_of_too_many_pixels(tmp_path):
    (tmp_path / "bomb.ppm").write_bytes(b"P6 60000 60000 255 ")
    with pytest.raises(UnreadableImage, match="exceeds limit"):
        read_size(tmp_path / "bomb.ppm")


@pytest.mark.parametrize("error", [struct.error("x"), zlib.error("x"), EOFError(), SyntaxError("x")])
def test_whatever_a_decoder_raises(tmp_path, monkeypatch, error):
    def fail(*arguments, **more):
        raise error

    (tmp_path / "x.png").write_bytes(encoded("PNG"))
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    with pytest.raises(InputError, match="x.png cannot be read: [xES]"):
        read_image(tmp_path / "x.png")


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_deep_grays_are_refused(tmp_path, dtype):
    """Pillow would cut them off: white wherever a value is above 255."""
    deep = Image.fromarray(np.linspace(0, 65535, 60).reshape(6, 10).astype(dtype))
    deep.save(tmp_path / "deep.tif")
    with pytest.raises(UnreadableImage, match="more than 8 bits"):
        read_image(tmp_path / "deep.tif")
    with pytest.raises(DeepImage, match="deep.tif .* more than 8 bits"):
        read_size(tmp_path / "deep.tif")
    with pytest.raises(DeepImage, match="more than 8 bits"):
        image_to_array(deep)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB"])
def test_other_modes_become_colors(mode):
    pixels = image_to_array(Image.new(mode, (4, 3)))
    assert pixels.shape == (3, 4, 3) and pixels.dtype == np.uint8


def test_channel_orders(tmp_path):
    (tmp_path / "x.png").write_bytes(encoded("PNG"))
    assert np.array_equal(read_image(tmp_path / "x.png"), PIXELS)
    assert np.array_equal(read_image(str(tmp_path / "x.png"), "BGR"), PIXELS[:, :, ::-1])
    assert read_image(tmp_path / "x.png", "L").shape == (12, 20, 1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("orientation, shape", [(1, (12, 20)), (3, (12, 20)), (6, (20, 12)), (8, (20, 12))])
def test_images_are_turned_upright(tmp_path, kind, orientation, shape):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    (tmp_path / "x").write_bytes(encoded(kind, exif=exif))
    assert read_size(tmp_path / "x") == shape
    pixels = read_image(tmp_path / "x")
    assert pixels.shape[:2] == shape
    if kind != "JPEG":
        turns = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]
        assert np.array_equal(pixels, np.rot90(PIXELS, turns))


def with_chunk_at_the_end(png: bytes, kind: bytes, content: bytes) -> bytes:
    chunk = struct.pack(">I", len(content)) + kind + content
    return png[:-12] + chunk + struct.pack(">I", zlib.crc32(kind + content)) + png[-12:]


@pytest.mark.parametrize("kind", [b"eXIf", b"iTXt"])
def test_an_orientation_behind_the_pixels_of_a_png(tmp_path, kind):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    content = {b"eXIf": exif.tobytes()[6:], b"iTXt": b'XML:com.adobe.xmp\0\0\0\0\0<tiff:Orientation="6"/>'}
    (tmp_path / "x.png").write_bytes(with_chunk_at_the_end(encoded("PNG"), kind, content[kind]))
    assert read_size(tmp_path / "x.png") == (20, 12)
    assert np.array_equal(read_image(tmp_path / "x.png"), np.rot90(PIXELS, 3))
    (tmp_path / "y.png").write_bytes(with_chunk_at_the_end(encoded("PNG"), b"tEXt", b"date\0today"))
    assert read_size(tmp_path / "y.png") == (12, 20)


def test_an_orientation_among_damaged_tags(tmp_path):
    """Pillow's own turning writes the EXIF block again, which such tags do not let it."""
    tags = struct.pack(">HHIHHHHII", 0x0112, 3, 1, 6, 0, 0x011A, 2, 1, 2**31)  # a resolution as text
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2) + tags + bytes(4)
    (tmp_path / "x.jpg").write_bytes(encoded("JPEG", exif=exif))
    assert read_size(tmp_path / "x.jpg") == (20, 12)
    assert read_image(tmp_path / "x.jpg").shape == (20, 12, 3)


def test_labels_of_a_palette_are_its_indices(tmp_path):
    """As gray they would be the brightness of their colors."""
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    gray = Image.fromarray(labels)
    palette = gray.convert("P")
    palette.putpalette([value * 7 % 256 for value in range(768)])
    for image in (gray, palette):
        image.save(tmp_path / "x.png")
        assert np.array_equal(read_labels(tmp_path / "x.png"), labels[:, :, None])


def test_a_damaged_exif_block_counts_as_none(tmp_path):
    (tmp_path / "x.jpg").write_bytes(encoded("JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"))
    assert read_image(tmp_path / "x.jpg").shape == (12, 20, 3)
    assert read_size(tmp_path / "x.jpg") == (12, 20)


def test_a_picture_of_the_caller_is_not_changed():
    picture = Image.fromarray(PIXELS)
    picture.getexif()[ExifTags.Base.Orientation] = 6
    assert image_to_array(picture).shape == (20, 12, 3)
    assert picture.size == (20, 12) and picture.getexif()[ExifTags.Base.Orientation] == 6


def test_errors_of_the_block_name_the_file(tmp_path):
    (tmp_path / "x.png").write_bytes(encoded("PNG"))
    with pytest.raises(UnreadableImage, match="x.png"), open_image(tmp_path / "x.png") as image:
        image.seek(5)
