"""Atomic writes: after a crash a file is complete or absent."""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import InputError

# Pattern of temporary files; a killed process leaves them behind.
UNFINISHED = ".*.partial*"
_REASON_LENGTH = 120


@contextmanager
def atomic_write(
    path: str | os.PathLike,
    causes: tuple[type[Exception], ...] = (),
    *,
    make_folder: bool = False,
    sync: bool = True,
    keep_suffix: bool = False,
) -> Iterator[Path]:
    """Yields a temporary path next to a file; its content replaces the file at the end.

    If the block fails, the temporary file is removed and the old file stays. Every call has its own temporary
    name, so several processes and machines may write the same file at the same time.

    Args:
        path: The file.
        causes: Exceptions, besides ``OSError``, that a writer raises if the file cannot be written.
        make_folder: Whether to create the file's folder.
        sync: Whether to wait until the bytes are on the disk, so that the file survives a power failure. Not
            needed for large sets of reproducible files.
        keep_suffix: Whether the temporary name keeps the file's suffix, for writers that depend on it.

    Raises:
        InputError: If the disk is full, the folder is missing or read-only, or the path is a folder.
    """
    path = Path(path)
    suffix = path.suffix if keep_suffix else ""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial{suffix}")
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if sync:
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, *causes) as error:  # type: ignore[misc]  # mypy does not unpack it
        reason = getattr(error, "strerror", None) or (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{path} could not be written ({reason[:_REASON_LENGTH]}): its folder must exist, be writable "
            "and have space left"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_text(path: str | os.PathLike, parts: Iterable[str]) -> None:
    """Writes UTF-8 text piece by piece, see :func:`atomic_write`; creates its folder."""
    with (
        atomic_write(path, make_folder=True) as temporary,
        open(temporary, "w", encoding="utf-8", newline="\n") as file,
    ):
        file.writelines(parts)


def write_bytes(path: str | os.PathLike, content: bytes, *, sync: bool = True) -> None:
    """Writes bytes, see :func:`atomic_write`; creates the folder."""
    with atomic_write(path, make_folder=True, sync=sync) as temporary:
        temporary.write_bytes(content)
