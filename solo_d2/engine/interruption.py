"""Signals that stop a training: the first one after the current step, a second one at once."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

from detectron2.utils import comm
from solo_d2.utils.stop_signals import STOP_SIGNALS

# Set for processes whose starter passes on the signals that it gets.
FORWARDED_ENV = "SOLO_D2_SIGNALS_ARE_FORWARDED"
EXIT_SIGNAL = 128  # plus the signal's number, as shells have it
# A launcher passes on what a terminal or scheduler has already sent to all processes: within these seconds,
# further signals are the first one's echo.
_ECHO = 3.0


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to stop; the text is one line.

    Attributes:
        number: The signal.
    """

    def __init__(self, number: int, what: str = "stopped"):
        super().__init__(f"{signal.Signals(number).name}: {what}")
        self.number = number

    @property
    def exit_code(self) -> int:
        """The process's exit code."""
        return EXIT_SIGNAL + self.number


class StopSignals:
    """This process's handlers of SIGINT, SIGTERM and SIGUSR1.

    Attributes:
        received: The first signal that came; 0 before.
    """

    def __init__(self) -> None:
        self.received = 0
        self._since = 0.0
        self._installed_by = 0
        self._deferred = False
        self._forwards = False

    @contextlib.contextmanager
    def installed(self, *, forward: bool = False) -> Iterator[None]:
        """Installs the handlers for a block: the first signal raises :class:`Interrupted`.

        Inside another such block, and in other threads than the main one, it does nothing.

        Args:
            forward: Whether to pass signals on to this process's children, and wait for them, instead.
        """
        inside = self._installed_by == os.getpid()
        if inside or threading.current_thread() is not threading.main_thread():
            yield
            return
        self.received, self._deferred = 0, False
        self._installed_by, self._forwards = os.getpid(), forward
        former = {number: signal.signal(number, self._handle) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            self._installed_by = 0
            for number, handler in former.items():
                signal.signal(number, handler or signal.SIG_DFL)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """During this block a signal is only noted in ``received``.

        After an error it stays so: a launcher ends the other processes of a failed job, and each must be
        able to say what happened.
        """
        before, self._deferred = self._deferred, True
        yield
        self._deferred = before

    @contextlib.contextmanager
    def immediate(self) -> Iterator[None]:
        """Raises :class:`Interrupted` during a block inside :meth:`deferred`, also for an earlier signal."""
        if self.received:
            raise Interrupted(self.received)
        before, self._deferred = self._deferred, False
        try:
            yield
        finally:
            self._deferred = before

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._installed_by:  # a process that was forked from this one
            return
        if not self.received:
            self.received, self._since = number, time.monotonic()
            if self._forwards:
                _signal_children(number)
            elif not self._deferred:
                raise Interrupted(number)
        elif time.monotonic() - self._since >= (_ECHO if _has_echo() else 0.0):
            if self._forwards:
                _signal_children(signal.SIGKILL)
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, b"second signal: ended at once\n")
            os._exit(EXIT_SIGNAL + number)


def _has_echo() -> bool:
    """Returns whether a signal may come twice, from its sender and from this process's starter."""
    return comm.get_world_size() > 1 or FORWARDED_ENV in os.environ


def _signal_children(number: int) -> None:
    for child in multiprocessing.active_children():
        if child.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, number)


stop_signals = StopSignals()
