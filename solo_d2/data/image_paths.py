"""Lists images without labels from a folder, a text file, or the image list of a COCO JSON."""

import codecs
import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from solo_d2.utils.errors import InputError
from solo_d2.utils.json_file import read_json
from solo_d2.utils.json_values import is_whole, whole_number

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".gif")
)
# Maximum digits of an id that a float holds exactly, which evaluation tools need.
_LONGEST_ID = 15


@dataclass(frozen=True)
class ImagePaths:
    """Image files below one folder.

    Attributes:
        root: The folder.
        names: File names relative to it, each once.
        ids: COCO image ids, in the order of ``names``.
    """

    root: Path
    names: tuple[str, ...]
    ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.names)

    def first(self, count: int) -> "ImagePaths":
        """Returns the first ``count`` images."""
        return ImagePaths(self.root, self.names[:count], self.ids[:count])


def list_images(source: str | os.PathLike, root: str | os.PathLike = "") -> ImagePaths:
    """Lists images in an order that depends only on their names.

    Args:
        source: A folder, with its subfolders; a ``.json`` in COCO format; or a text file with one file name
            per line.
        root: Folder that a list's names are relative to; by default the list's own folder.

    Raises:
        InputError: If the source does not exist, is not a list, or has no image.
    """
    source = Path(source).expanduser()
    if source.is_dir():
        names = sorted(path.relative_to(source).as_posix() for path in walk_images(source))
        listed = ImagePaths(source, tuple(names), tuple(number_images([Path(name) for name in names])))
    elif not source.is_file():
        raise InputError(f"{source} does not exist: name an image folder, a list of images or a COCO JSON")
    elif source.suffix.lower() == ".json":
        listed = _read_coco(source, Path(root or source.parent))
    else:
        listed = _read_text(source, Path(root or source.parent))
    if not len(listed):
        raise InputError(f"{source} has no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return listed


def number_images(paths: Sequence[Path]) -> list[int]:
    """Assigns COCO image ids: a numeric stem is the id (first come), the others fill the gaps from 1."""
    ids: dict[int, int] = {}
    for index, path in enumerate(paths):
        if path.stem.isdecimal() and path.stem.isascii() and len(path.stem) <= _LONGEST_ID:
            ids.setdefault(int(path.stem), index)
    by_index = {index: image_id for image_id, index in ids.items()}
    running = 0
    for index in range(len(paths)):
        if index not in by_index:
            running += 1
            while running in ids:
                running += 1
            by_index[index] = running
    return [by_index[index] for index in range(len(paths))]


def walk_images(folder: str | os.PathLike) -> Iterator[Path]:
    """Yields the image files of a folder and its subfolders.

    Links are followed, but each folder is visited once, under its own name if it is below ``folder``, because
    links may form cycles.
    """
    visited: set[tuple[int, int]] = set()
    waiting = deque([os.fspath(folder)])
    while waiting:
        for parent, folders, names in os.walk(waiting.popleft()):
            status = os.stat(parent)
            if (status.st_dev, status.st_ino) in visited:
                folders.clear()
                continue
            visited.add((status.st_dev, status.st_ino))
            folders.sort()
            paths = (os.path.join(parent, name) for name in folders)
            waiting.extend(path for path in paths if os.path.islink(path))
            yield from (Path(parent, name) for name in names if is_image_name(name))


def with_slashes(name: str, root: Path) -> str:
    """Returns a listed name with slashes for Windows' backslashes, unless a file has the name as it is."""
    if "\\" not in name or os.path.isfile(root / name):
        return name
    return name.replace("\\", "/")


def is_image_name(name: str) -> bool:
    """Returns True if a file is an image by its name, except for macOS's companion files ``._*``."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not name.startswith("._")


def _read_text(source: Path, root: Path) -> ImagePaths:
    content = source.read_bytes()
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        lines = [line.strip() for line in content.decode(encoding).splitlines()]
    except UnicodeDecodeError:
        raise InputError(f"{source} is no text file: give one image name per line") from None
    names = tuple(dict.fromkeys(with_slashes(line, root) for line in lines if line))
    return ImagePaths(root, names, tuple(number_images([Path(name) for name in names])))


def _read_coco(source: Path, root: Path) -> ImagePaths:
    content = read_json(source, "list of images")
    records = content.get("images") if isinstance(content, dict) else None
    if not isinstance(records, list):
        raise InputError(f"{source} is no COCO JSON: it needs the list images")
    for position, record in enumerate(records):
        if not isinstance(record, dict) or not isinstance(record.get("file_name"), str):
            raise InputError(f"{source}: image #{position} has no file_name")
    names = tuple(with_slashes(record["file_name"], root) for record in records)
    ids = [number for number in (whole_number(record.get("id")) for record in records) if is_whole(number)]
    if len(ids) != len(records):
        logger.warning("%s: image ids that are no whole numbers are renumbered", source)
        ids = number_images([Path(name) for name in names])
    if len(set(names)) != len(records) or len(set(ids)) != len(records):
        raise InputError(f"{source} names an image or an image id twice")
    return ImagePaths(root, names, tuple(ids))
