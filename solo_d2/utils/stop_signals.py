"""Signals that ask a program to stop, and loader processes that leave them to the program."""

import os
import signal
import threading

# Ctrl-C; what schedulers send before they kill; SLURM's early warning (Windows does not have it).
STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)

_GRACE = 30.0  # seconds in which a job that got SIGTERM ends; schedulers kill it then


def obey_only_parent(worker: int = 0) -> None:
    """Makes a loader process ignore stop signals, except SIGTERM from the process that started it.

    Terminals and schedulers signal all processes of a job, but the main process needs its loader processes
    until it has stopped.

    Args:
        worker: The process's number, which PyTorch's loader gives.
    """
    if not hasattr(signal, "sigwaitinfo"):  # Windows and macOS do not tell who sent a signal
        return
    for number in STOP_SIGNALS:
        if number != signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_for_parent, daemon=True).start()


def _end_for_parent() -> None:
    received: signal.struct_siginfo | None = signal.sigwaitinfo({signal.SIGTERM})
    while received and received.si_pid != os.getppid():
        # The parent's signal is lost if it comes before another one has been received: hence a timeout.
        received = signal.sigtimedwait({signal.SIGTERM}, _GRACE)
    os._exit(0)
