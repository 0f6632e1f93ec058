"""Runs Python in child processes and cleans up orphans of a killed driver."""

import ctypes
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from solo_d2.engine.cli import killed_by
from solo_d2.engine.interruption import FORWARDED_ENV, Interrupted
from solo_d2.utils.errors import InputError

# Environment variable that all processes of a stage inherit; its value marks the run.
_MARK = "SOLO_D2_RUN"
# Seconds in which a stopped or killed process ends; it may save a checkpoint, or wait for a disk or a GPU.
_PATIENCE = 30.0
_PR_SET_PDEATHSIG = 1


def run_mark(lock_file: IO) -> str:
    """Returns a mark that is unique to this run on this machine: device and inode of its lock file."""
    status = os.fstat(lock_file.fileno())
    return f"{status.st_dev}:{status.st_ino}"


def run_script(command: Sequence[str], lock_file: IO) -> None:
    """Runs a Python process until it ends.

    On Linux it ends with this process, even if this one is killed. Processes that it spawned may survive a
    kill; :func:`end_leftovers` ends them before another run uses the folder.

    Args:
        command: Arguments of Python: a script's path, or -m and a module, then its own arguments.
        lock_file: The run's lock, which the process inherits.

    Raises:
        InputError: If the process failed.
        Interrupted: A signal asked this process to stop; the other one got it, too, and could save its work.
    """
    mark = run_mark(lock_file)
    process = subprocess.Popen(
        [sys.executable, *command],
        pass_fds=(lock_file.fileno(),),
        preexec_fn=_end_with_parent,
        env={**os.environ, _MARK: mark, FORWARDED_ENV: "1"},
    )
    try:
        code = process.wait()
    except Interrupted as stop:
        _end(process, stop.number, mark)
        raise Interrupted(stop.number, "stopped; the same command resumes") from None
    except BaseException:
        _end(process, signal.SIGTERM, mark)
        raise
    if code:
        end_leftovers(mark)
        why = f"failed (exit code {code}), its message is above"
        if code < 0:
            why = f"stopped: {killed_by(signal.Signals(-code).name)}"
        raise InputError(f"{_name_of(command)} {why}; the same command resumes there")


def _end(process: subprocess.Popen, number: int, mark: str) -> None:
    """Signals a process, and kills it if it has not ended in time."""
    process.send_signal(number)
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    end_leftovers(mark)


def _name_of(command: Sequence[str]) -> str:
    """Returns a script's file name, or a module and the words before its first flag."""
    if command[0] != "-m":
        return Path(command[0]).name
    return " ".join(itertools.takewhile(lambda word: not word.startswith("-"), command[1:]))


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def end_leftovers(mark: str) -> None:
    """Kills the processes of a run on this machine and waits until they are gone; needs /proc.

    Args:
        mark: Result of :func:`run_mark`; only the run's driver may call this, under the lock.

    Raises:
        InputError: If a process does not end.
    """
    deadline = time.monotonic() + _PATIENCE
    while left := _marked(mark):
        if time.monotonic() > deadline:
            raise InputError(f"processes {left} of an earlier run do not end: end them, then run this again")
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)


def _marked(mark: str) -> list[int]:
    """Returns the other processes that inherited a run's mark; a dead one has no environment."""
    entry, found = f"{_MARK}={mark}".encode(), []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            inherited = (path / "environ").read_bytes().split(b"\0")
        except OSError:  # the process has ended or belongs to another user
            continue
        if entry in inherited and int(path.name) != os.getpid():
            found.append(int(path.name))
    return found
