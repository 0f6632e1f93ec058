"""A training's folder: one training writes into it at a time, and another one's files are not mixed in."""

import contextlib
import errno
import itertools
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from detectron2.utils import comm
from solo_d2.checkpoint.file_names import TRAINING_FILES
from solo_d2.utils.addresses import is_address
from solo_d2.utils.atomic_file import UNFINISHED
from solo_d2.utils.errors import InputError
from solo_d2.utils.file_lock import lock_file

from .cli import EXIT_USAGE

_PATIENCE = 10.0  # seconds for an earlier run of the same folder to end
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
POLICIES = ("number", "refuse")
_OWN_FOLDERS = ("", "inference", "datasets")  # others may be of other trainings
LOCK_NAME = ".training.lock"
# What only a training leaves. An evaluation's files do not count.
_TRACES = (*TRAINING_FILES, "metrics.json")


@contextlib.contextmanager
def claimed_folder(folder: str, *, resume: bool, policy: str) -> Iterator[str]:
    """Keeps a folder for this training; every process of the job must call it.

    Args:
        folder: ``OUTPUT_DIR``.
        resume: Whether to continue what is in the folder.
        policy: What to do without ``resume`` if another training used or uses the folder: "number" yields the
            first free one of ``folder_1``, ``folder_2``, ..., and "refuse" raises.

    Yields:
        The folder.

    Raises:
        InputError: The folder may not be used or cannot be written to.
        SystemExit: The main process raised that.
    """
    if policy not in POLICIES:
        raise InputError(f"OUTPUT_DIR_IF_USED is one of {', '.join(POLICIES)}, not {policy!r}")
    with contextlib.ExitStack() as stack:
        claimed: str | InputError = folder
        if comm.is_main_process() and folder and not is_address(folder):
            try:
                claimed, lock = _claim(folder, resume, policy)
                stack.enter_context(lock)
            except InputError as error:
                claimed = error
        claimed = comm.all_gather(claimed)[0]
        if isinstance(claimed, InputError):
            if comm.is_main_process():
                raise claimed
            sys.exit(EXIT_USAGE)
        yield claimed


@contextlib.contextmanager
def full_disk_explained(folder: str) -> Iterator[None]:
    """Names the folder in the error of a write that failed because the disk is full.

    Args:
        folder: ``OUTPUT_DIR``.

    Raises:
        InputError: The disk is full, or a quota is used up.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE and error.filename is None:
            raise InputError(f"OUTPUT_DIR {folder} cannot be written to: {error.strerror}") from error
        raise


def _claim(folder: str, resume: bool, policy: str) -> tuple[str, IO]:
    """Locks the folder or, if it is taken and the policy says so, one with a number."""
    for number in itertools.count():
        candidate = f"{folder.rstrip(os.sep) or os.sep}_{number}" if number else folder
        lock = _open_lock(candidate)
        problem = _problem(candidate, lock, resume)
        if not problem:
            return candidate, lock
        lock.close()
        if resume or policy == "refuse":
            raise InputError(problem)
    raise AssertionError("unreachable")


def _problem(folder: str, lock: IO, resume: bool) -> str:
    """Locks a folder and cleans it up; returns why it cannot be used, or ""."""
    if not lock_file(lock, patience=_PATIENCE if resume else 0.0):
        lock.seek(0)
        owner = lock.readline().strip() or "another process"
        return (
            f"a training ({owner}) is writing into OUTPUT_DIR {folder}: wait for it, or choose another folder"
        )
    if not resume and (traces := _traces(Path(folder))):
        return (
            f"OUTPUT_DIR {folder} has files of another training ({traces[0]}): continue it with --resume, "
            "choose another folder, or set OUTPUT_DIR_IF_USED number"
        )
    lock.seek(0)
    lock.truncate()
    with full_disk_explained(folder):
        os.write(lock.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    for place in _OWN_FOLDERS:
        for leftover in Path(folder, place).glob(UNFINISHED):  # a killed run's; under the lock nobody writes
            leftover.unlink(missing_ok=True)
    return ""


def _open_lock(folder: str) -> IO:
    path = Path(folder, LOCK_NAME)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "a+", encoding="utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(
            f"OUTPUT_DIR {folder} cannot be written to ({reason}): choose another folder"
        ) from error


def _traces(folder: Path) -> list[str]:
    found = (path for pattern in _TRACES for path in sorted(folder.glob(pattern)))
    return [path.name for path in found if path.stat().st_size]
