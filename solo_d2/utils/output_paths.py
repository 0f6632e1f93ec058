"""Names output files after inputs: always below the output folder, and unique."""

import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from .errors import InputError

_OUTSIDE = "__"  # replaces ".." and the root of an absolute path
# Unicode categories of control characters, line breaks and paragraph breaks, which terminals interpret.
_CONTROL = frozenset(("Cc", "Zl", "Zp"))
# Marks that reorder the text around them and can make a printed name look like another.
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def output_paths(folder: str | os.PathLike, names: Iterable[str | PurePath]) -> list[Path]:
    """Returns one path below a folder per name.

    A name keeps its subfolders. ``..`` and the root of an absolute name become the folder ``__``. Repeated
    names get ``_2``, ``_3``, ... before their suffix.

    Args:
        folder: The output folder.
        names: File names of inputs, in any order; they may come from untrusted files.

    Raises:
        InputError: A name is empty, not text, or has control characters.
    """
    return [Path(folder, name) for name in _unique_names([_relative_name(name) for name in names])]


def path_below(folder: str | os.PathLike, name: str) -> Path:
    """Returns the path of a file with exactly this name below a folder.

    Raises:
        InputError: The name leaves the folder, is empty, not text, or has control characters.
    """
    if _relative_name(name) != PurePath(name):
        raise InputError(f"file name {name} leaves its folder: correct it in the file that lists it")
    return Path(folder, name)


def refuse_overwriting(targets: Iterable[Path], inputs: Iterable[str | os.PathLike]) -> None:
    """Checks that no output replaces an input.

    Raises:
        InputError: An output is one of the inputs.
    """
    taken = {Path(path).resolve() for path in inputs}
    for target in targets:
        if target.resolve() in taken:
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


def _unique_names(names: Sequence[PurePath]) -> list[PurePath]:
    taken: set[PurePath] = set()
    unique = []
    for name in names:
        candidate, number = name, 1
        while candidate in taken:
            number += 1
            candidate = name.with_name(f"{name.stem}_{number}{name.suffix}")
        taken.add(candidate)
        unique.append(candidate)
    return unique
