"""Image files of every kind, sound, unusual and damaged, drawn by chance."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin, features

SIZES = [(12, 20), (12, 20), (33, 64), (1, 1), (1, 5000), (5000, 1)]
FORMATS = ["PNG"] * 3 + ["JPEG"] * 3 + ["TIFF"] * 2
FORMATS += ["PPM", "SGI", "DDS", "GIF", "BMP", "ICO", "TGA"]
OPTIONAL = {"WEBP": "webp", "AVIF": "avif", "JPEG2000": "jpg_2000"}
FORMATS += [kind for kind, name in OPTIONAL.items() if features.check(name)]
MODES = ["RGB"] * 4 + ["L", "P", "1", "RGBA", "LA", "CMYK", "I;16", "I", "F"]
NAMES = [
    "a b.png",
    "ä.jpg",
    "%20.png",
    "#1?.jpg",
    "-x.png",
    "[1].jpg",
    "*.png",
    "~a.jpg",
    "\\a.png",
    "'a'.jpg",
]
NAMES += ["0007.PNG", "x" * 200 + ".png", "a.jpg.png", "ä̈.tiff", "$(x).bmp", "a,b;c.webp"]
NOT_IMAGES = [
    b"",
    b"no picture",
    b"<html></html>",
    b"%PDF-1.4",
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
]
NOT_IMAGES += [
    b"P6 x 7 255 ",
    b"P6 0 5 255\n",
    b"\x89PNG\r\n\x1a\n",
    b"BM",
    b"GIF89a",
    b"II*\0",
    b"\xff\xd8\xff",
]
NOT_IMAGES += [b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B" + bytes(40), b"DDS |\0\0\0" + bytes(60)]


def pixels(data: st.DataObject) -> Image.Image:
    """Draws a picture of any size and mode."""
    height, width = data.draw(st.sampled_from(SIZES))
    seed = data.draw(st.integers(0, 1000))
    colors = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    picture, mode = Image.fromarray(colors), data.draw(st.sampled_from(MODES))
    if mode == "I;16":
        return Image.fromarray(colors[:, :, 0].astype(np.uint16) * 250)
    return picture.convert("L").convert(mode) if mode in ("I", "F", "LA") else picture.convert(mode)


def encode(picture: Image.Image, kind: str, **options) -> bytes:
    """Encodes a picture, in colors where the format does not know its mode."""
    for candidate in (
        picture,
        picture.convert("L" if picture.mode in ("I", "F", "I;16") else "RGB").convert("RGB"),
    ):
        with io.BytesIO() as file:
            try:
                candidate.save(file, kind, **options)
            except Exception:  # of a mode, size or damaged EXIF block that the format does not take
                continue
            return file.getvalue()
    return encode(picture.convert("RGB").resize((16, 16)), kind)


def orientation(data: st.DataObject) -> bytes:
    """Draws an EXIF block with an orientation, and tags of any type that Pillow would not write itself."""
    tags = [(0x0112, 3, 1, data.draw(st.integers(0, 9)) << 16)]
    if data.draw(st.booleans()):
        other = data.draw(st.sampled_from([0x010F, 0x011A, 0x0131, 0x8769, 0x9000]))
        tags.append((other, data.draw(st.integers(1, 13)), 1, 7))
    packed = b"".join(struct.pack(">HHII", *tag) for tag in tags)
    block = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, len(tags)) + packed + bytes(4)
    return flipped(block, data) if data.draw(st.booleans()) else block


def sound(data: st.DataObject) -> bytes:
    """Draws a file that a program could have written."""
    kind, picture = data.draw(st.sampled_from(FORMATS)), pixels(data)
    options: dict = {}
    if kind == "AVIF":  # its encoder crashes on single rows and columns
        picture = picture.convert("L" if picture.mode in ("I", "F", "I;16") else "RGB").resize((20, 12))
    if kind in ("PNG", "JPEG", "TIFF", "WEBP", "AVIF") and data.draw(st.booleans()):
        options["exif"] = orientation(data)
    if kind == "JPEG":
        options["progressive"] = data.draw(st.booleans())
    if kind in ("TIFF", "GIF", "WEBP") and data.draw(st.integers(0, 2)) == 0:
        options |= {"save_all": True, "append_images": [picture.copy(), picture.resize((9, 7))]}
    if kind == "TIFF":
        options["compression"] = data.draw(st.sampled_from([None, "tiff_lzw", "tiff_deflate", "packbits"]))
    return encode(picture, kind, **options)


def flipped(content: bytes, data: st.DataObject) -> bytes:
    """Changes a few bytes, mostly in the header."""
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 5))):
        last = min(len(changed), data.draw(st.sampled_from([16, 64, 10**9]))) - 1
        if last >= 0:
            changed[data.draw(st.integers(0, last))] = data.draw(st.integers(0, 255))
    return bytes(changed)


def png(width: int, height: int, depth: int, color: int, raw: bytes, interlaced: bool = False) -> bytes:
    """Writes a PNG of rows with their filter bytes, which Pillow does not write at every depth."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    parts = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def unusual_png(data: st.DataObject) -> bytes:
    """Draws a PNG of 16 bits, with interlaced rows, or a chunk that is too large, wrong or at the end."""
    kind = data.draw(st.sampled_from(["deep", "interlaced", "text", "crc", "bomb", "wide", "zero", "late"]))
    colors = np.random.default_rng(data.draw(st.integers(0, 99))).integers(
        0, 256, (12, 20, 3), dtype=np.uint8
    )
    if kind == "deep":
        return png(20, 12, 16, 2, b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in colors))
    if kind == "interlaced":
        starts = [
            (0, 0, 8, 8),
            (0, 4, 8, 8),
            (4, 0, 8, 4),
            (0, 2, 4, 4),
            (2, 0, 4, 2),
            (0, 1, 2, 2),
            (1, 0, 2, 1),
        ]
        passes = [colors[top::down, left::right] for top, left, down, right in starts]
        rows = [b"\0" + row.tobytes() for one in passes if one.shape[1] for row in one]
        return png(20, 12, 8, 2, b"".join(rows), interlaced=True)
    if kind == "text":
        text = PngImagePlugin.PngInfo()
        size = PngImagePlugin.MAX_TEXT_CHUNK + data.draw(st.sampled_from([-1000, 1]))
        text.add_text("comment", "x" * size, zip=data.draw(st.booleans()))
        return encode(Image.fromarray(colors), "PNG", pnginfo=text)
    if kind == "zero":
        return png(*data.draw(st.sampled_from([(0, 5), (5, 0), (0, 0)])), 8, 2, b"")
    if kind in ("bomb", "wide"):  # the header promises what the data do not hold
        return png(*((60_000, 60_000) if kind == "bomb" else (13_000, 13_000)), 8, 2, bytes(1000))
    content = encode(Image.fromarray(colors), "PNG")
    if kind == "crc":
        place = data.draw(st.sampled_from([29, -13]))
        return content[:place] + bytes([content[place] ^ 1]) + content[place:][1:]
    exif = orientation(data)[6:]
    return content[:-12] + struct.pack(">I", len(exif)) + b"eXIf" + exif + bytes(4) + content[-12:]


def write_file(folder: Path, name: str, data: st.DataObject) -> None:
    """Writes a file by chance; some are folders or do not exist."""
    kind = data.draw(
        st.sampled_from(["sound"] * 4 + ["flipped"] * 2 + ["cut", "png", "png", "none", "folder", "gone"])
    )
    if kind == "folder":
        return (folder / name).mkdir()
    if kind == "gone":
        return None
    content = unusual_png(data) if kind == "png" else sound(data)
    if kind == "none":
        content = data.draw(st.sampled_from(NOT_IMAGES))
    if kind == "cut":
        content = content[: data.draw(st.integers(0, len(content)))]
    if kind == "flipped":
        content = flipped(content, data)
    (folder / name).write_bytes(content)
    return None
