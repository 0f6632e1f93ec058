"""Files that are whole or absent, whatever happens while they are written."""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import InputError

# Names of what is being written; a killed process leaves such files.
UNFINISHED = ".*.partial"
_REASON_LENGTH = 120


@contextmanager
def replacing(path: str | os.PathLike, causes: tuple[type[Exception], ...] = ()) -> Iterator[Path]:
    """Gives a temporary neighbour to write, which then takes the file's place; if it fails, nothing is left.

    The temporary name is this call's own, so several processes and machines may write the same file at once.

    Args:
        path: the file; its folder exists.
        causes: what a writer raises, beside ``OSError``, where the file cannot be written.

    Raises:
        InputError: the disk is full, the folder is missing or read-only, or the path is a folder.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, *causes) as error:
        reason = getattr(error, "strerror", None) or (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{path} could not be written ({reason[:_REASON_LENGTH]}): its folder must exist, be writable "
            "and have space left"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_whole(path: str | os.PathLike, parts: Iterable[str]) -> None:
    """Writes text piece by piece; its folder is made.

    Raises:
        InputError: see :func:`replacing`.
    """
    path = Path(path)
    with replacing(path) as temporary:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(parts)
