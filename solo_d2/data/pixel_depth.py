"""Images of more than 8 bits per value, which Pillow converts by cutting off: 16 grey bits become white."""

from PIL import Image

from detectron2.utils.file_io import PathManager

# Pillow's modes of 16-bit, 32-bit and float greys are "I;16", "I", "F" and the like.
_DEEP = ("I", "F")


def refuse_deep_pixels(image: Image.Image) -> None:
    """Raises ``OSError``, as for an image that cannot be read, unless values have 8 bits or fewer.

    Args:
        image: opened; its pixels are not read.
    """
    if image.mode.startswith(_DEEP):
        raise OSError(f"its greys have more than 8 bits (mode {image.mode}): convert it to 8 bits per value")


def refuse_deep_file(path: str) -> None:
    """:func:`refuse_deep_pixels` of an image file."""
    with PathManager.open(path, "rb") as file, Image.open(file) as image:
        refuse_deep_pixels(image)
