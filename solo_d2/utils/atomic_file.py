"""Atomic writes: a file is complete or absent, whatever happens while it is written."""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import InputError

# Names of files that are being written; a killed process leaves such files.
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
    """Yields a temporary path next to a file; what is written there replaces the file at the end.

    If the block fails, the temporary file is removed and the former file stays. Every call has a temporary
    name of its own, so several processes and machines may write the same file at once.

    Args:
        path: The file.
        causes: What a writer raises, besides ``OSError``, if the file cannot be written.
        make_folder: Makes the file's folder.
        sync: Waits until the bytes are on the disk, so that the file survives a power failure. Sets of many
            files that can be made again do without.
        keep_suffix: The temporary name ends like the file's, for writers that go by it.

    Raises:
        InputError: The disk is full, the folder is missing or read-only, or the path is a folder.
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
    """Writes UTF-8 text piece by piece, see :func:`atomic_write`; makes its folder."""
    with (
        atomic_write(path, make_folder=True) as temporary,
        open(temporary, "w", encoding="utf-8", newline="\n") as file,
    ):
        file.writelines(parts)


def write_bytes(path: str | os.PathLike, content: bytes, *, sync: bool = True) -> None:
    """Writes bytes, see :func:`atomic_write`; makes their folder."""
    with atomic_write(path, make_folder=True, sync=sync) as temporary:
        temporary.write_bytes(content)
