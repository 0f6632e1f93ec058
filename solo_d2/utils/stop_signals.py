"""Signals that ask a program to stop, and loader processes that leave them to the program."""

import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import Iterator

# Ctrl-C; what schedulers send before they kill; SLURM's early warning (Windows does not have it).
STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)

_GRACE = 30.0  # seconds in which a job that got SIGTERM ends; schedulers kill it then
_PAUSE = 2.0  # seconds between two looks at the parent


@contextlib.contextmanager
def held_stop_signals() -> Iterator[None]:
    """Holds stop signals back during a block, also in processes that it starts.

    Those must call :func:`obey_only_parent`.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    former = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def obey_only_parent(worker: int = 0) -> None:
    """Makes a loader process ignore stop signals, except SIGTERM from the process that started it.

    Terminals and schedulers signal all processes of a job, but the main process needs its loader processes
    until it has stopped.

    Args:
        worker: The process's number, which PyTorch's loader gives.
    """
    if not hasattr(signal, "sigtimedwait"):  # Windows and macOS do not tell who sent a signal
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    others = set(STOP_SIGNALS) - {signal.SIGTERM}
    for number in others:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, others)
    threading.Thread(target=_end_for_parent, args=(os.getppid(),), daemon=True).start()


def _end_for_parent(parent: int) -> None:
    """Ends this process with its parent, or when that says so."""
    deadline = math.inf
    while os.getppid() == parent and time.monotonic() < deadline:
        received = signal.sigtimedwait({signal.SIGTERM}, _PAUSE)
        if received and received.si_pid == parent:
            break
        if received:  # the parent's signal is lost if it comes before this one has been received
            deadline = min(deadline, time.monotonic() + _GRACE)
    os._exit(0)
