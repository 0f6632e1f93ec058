"""Signals that ask a program to stop, in processes that work for another one."""

import signal
from types import FrameType

# Ctrl-C; what schedulers send before they kill; SLURM's early warning (Windows does not have it).
STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)


def outlive_first_stop_signal(worker: int = 0) -> None:
    """Makes a loader process ignore the first signal of each kind.

    A terminal and schedulers signal all processes of a job, but the main process needs its loader processes
    until it has stopped.

    Args:
        worker: The process's number, which PyTorch's loader gives.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, _ignore_once)


def _ignore_once(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
