"""Finds the pictures of a command line's files, globs and folders."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from solo_d2.data.image_paths import IMAGE_SUFFIXES, is_image_name, number_images, walk_images
from solo_d2.utils.errors import InputError
from solo_d2.utils.output_paths import output_paths, refuse_control_characters


@dataclass(frozen=True)
class InputImage:
    """One picture to segment.

    Attributes:
        path: Its file.
        name: Its name below the output folder, unique in a run, with the subfolders of a given folder.
        image_id: COCO image id: the file stem if that is a number, else a running number.
    """

    path: Path
    name: Path
    image_id: int


def find_images(arguments: Sequence[str]) -> list[InputImage]:
    """Expands ``--input``: files as given; globs and folders, with their subfolders, sorted.

    Args:
        arguments: Paths, patterns with ``*``, ``?`` or ``[]`` (``~`` allowed), or folders.

    Raises:
        InputError: An argument names nothing, a folder or pattern has no pictures, or a path has control
            characters.
    """
    named: dict[Path, Path] = {}
    for argument in arguments:
        for path, name in _expand(Path(argument).expanduser()):
            named.setdefault(path, name)
    for path in named:
        refuse_control_characters(path)
    names = output_paths("", named.values(), exact=True)
    ids = number_images(list(named))
    return [InputImage(*fields) for fields in zip(named, names, ids, strict=True)]


def _expand(argument: Path) -> list[tuple[Path, Path]]:
    if argument.is_dir():
        found = sorted(walk_images(argument))
        named = [(path, path.relative_to(argument)) for path in found]
    elif argument.is_file():
        named = [(argument, Path(argument.name))]
    else:
        matches = sorted(_matches(argument))
        if not matches:
            raise InputError(f"--input {argument}: no such file, folder or match")
        named = [(path, Path(path.name)) for path in matches if _is_image(path)]
    if not named:
        raise InputError(f"--input {argument}: no pictures there ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return named


def _matches(pattern: Path) -> list[Path]:
    """Returns the paths that match a pattern; ``**`` does not follow links, which may form cycles."""
    below = pattern.relative_to(pattern.anchor)
    parts = [part if part == "**" else re.sub(r"\*+", "*", part) for part in below.parts]
    if parts[-1] == "**":
        parts.append("*")
    found = Path(pattern.anchor).glob("/".join(parts))
    return [path for path in found if not path.name.startswith(".")]


def _is_image(path: Path) -> bool:
    return path.is_file() and is_image_name(path.name)
