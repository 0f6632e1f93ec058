"""Names output files after inputs: always below the output folder, and unique on every file system."""

import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePath

from .errors import InputError

_OUTSIDE = "__"  # replaces ".." and the root of an absolute path
# Unicode categories of control characters, line breaks and paragraph breaks, which terminals interpret.
_CONTROL = frozenset(("Cc", "Zl", "Zp"))
# Marks that reorder the text around them and can make a printed name look like another.
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def output_paths(
    folder: str | os.PathLike, names: Iterable[str | PurePath], exact: bool = False
) -> list[Path]:
    """Returns one path below a folder per name.

    A name keeps its subfolders. ``..`` and the root of an absolute name become the folder ``__``. Repeated
    names get ``_2``, ``_3``, ... before their suffix. So do names that are equal where upper and lower case
    are, or where accents are, and names of files that are also names of folders.

    Args:
        folder: The output folder.
        names: File names of inputs, in any order; they may come from untrusted files.
        exact: Whether only names that are the same letter by letter count as repeated.

    Raises:
        InputError: A name is empty, not text, or has control characters.
    """
    relative = [_relative_name(name) for name in names]
    return [Path(folder, name) for name in _unique_names(relative, str if exact else _alike)]


def path_below(folder: str | os.PathLike, name: str) -> Path:
    """Returns the path of a file with exactly this name below a folder.

    Raises:
        InputError: The name leaves the folder, is empty, not text, or has control characters.
    """
    if _relative_name(name) != PurePath(name):
        raise InputError(f"file name {name} leaves its folder: correct it in the file that lists it")
    return Path(folder, name)


def refuse_repeated(names: Iterable[str]) -> None:
    """Checks that files of exactly these names do not overwrite one another, whatever the file system.

    Raises:
        InputError: Two names are equal, or are where upper and lower case are.
    """
    taken: dict[str, str] = {}
    for name in names:
        key = _alike(PurePath(name))
        if key in taken:
            raise InputError(f"files {taken[key]} and {name} would overwrite each other: rename one of them")
        taken[key] = name


def refuse_overwriting(targets: Iterable[Path], inputs: Iterable[str | os.PathLike]) -> None:
    """Checks that no output replaces an input.

    Raises:
        InputError: An output is one of the inputs.
    """
    taken = {_identity(path) for path in inputs}
    for target in targets:
        if _identity(target) in taken:
            raise InputError(f"{target} would overwrite an input: name another --output")


def refuse_control_characters(name: str | PurePath) -> None:
    """Checks that a name can be printed.

    Raises:
        InputError: It has control characters.
    """
    if any(unicodedata.category(letter) in _CONTROL or letter in _REORDERING for letter in str(name)):
        raise InputError(f"file name {str(name)!a} has control characters: rename the file")


def _relative_name(name: str | PurePath) -> PurePath:
    if not isinstance(name, str | PurePath):
        raise InputError(f"file name {name!r} is not text: correct it in the file that lists it")
    refuse_control_characters(name)
    path = PurePath(name)
    if not path.parts:
        raise InputError("a file name is empty: correct it in the file that lists it")
    return PurePath(*(_OUTSIDE if part in ("..", path.anchor) else part for part in path.parts))


def _alike(path: PurePath) -> str:
    """Returns the same text for names that some file systems take for one."""
    return unicodedata.normalize("NFC", path.as_posix()).casefold()


def _identity(path: str | os.PathLike) -> object:
    """Returns a value that is the same for all names of an existing file."""
    try:
        status = os.stat(path)
    except OSError:
        return Path(path).resolve()
    return status.st_dev, status.st_ino


def _unique_names(names: Sequence[PurePath], key: Callable[[PurePath], str]) -> list[PurePath]:
    taken = {key(folder) for name in names for folder in name.parents}
    unique = []
    for name in names:
        candidate, number = name, 1
        while key(candidate) in taken:
            number += 1
            candidate = name.with_name(f"{name.stem}_{number}{name.suffix}")
        taken.add(key(candidate))
        unique.append(candidate)
    return unique
