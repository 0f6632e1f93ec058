"""Reads JSON files with one-line errors, and writes them atomically."""

import json
import os
from pathlib import Path
from typing import Any

from .atomic_file import write_text
from .errors import InputError


def read_json(path: str | os.PathLike, what: str) -> Any:
    """Reads a JSON file in UTF-8, UTF-16 or UTF-32, with or without a byte order mark.

    Args:
        path: The file.
        what: Kind of file, such as "annotation file", for error messages.

    Returns:
        The content.

    Raises:
        InputError: If the file is missing, cannot be read, or is not JSON.
    """
    try:
        return json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise InputError(f"{what} {path} does not exist") from None
    except OSError as error:
        raise InputError(f"{what} {path} cannot be read: {error.strerror or error}") from error
    except RecursionError:
        raise InputError(f"{what} {path} cannot be read as JSON: it is nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{what} {path} cannot be read as JSON: {error}") from error


def is_plain_utf8(path: str | os.PathLike) -> bool:
    """Returns True if a JSON file is UTF-8 without a byte order mark, which other programs can read."""
    with open(path, "rb") as file:
        return json.detect_encoding(file.read(4)) == "utf-8"


def write_json(path: str | os.PathLike, content: object, indent: int | None = None) -> None:
    """Writes JSON atomically, see :func:`solo_d2.utils.atomic_file.atomic_write`; creates the folder.

    Args:
        path: The file.
        content: Values of JSON's types.
        indent: Spaces per level; None writes one line.
    """
    try:
        text = json.dumps(content, indent=indent)
    except RecursionError:
        raise InputError(f"{path} could not be written: its content is nested too deeply") from None
    write_text(path, [text, "\n" if indent else ""])
