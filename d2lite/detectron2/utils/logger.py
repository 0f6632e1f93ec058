"""Logging: colored console lines of the main process and one file per process."""

import atexit
import functools
import logging
import os
import sys
import time
from collections import Counter
from types import FrameType
from typing import IO, Any

from tabulate import tabulate
from termcolor import colored

from detectron2.utils.file_io import PathManager

_DATE_FORMAT = "%m/%d %H:%M:%S"
_PLAIN_FORMAT = "[%(asctime)s] %(name)s %(levelname)s: %(message)s"


class _ColorfulFormatter(logging.Formatter):
    """Shortens the names of child loggers, and marks warnings and errors with a colored word."""

    def __init__(self, fmt: str, root_name: str, abbrev_name: str):
        super().__init__(fmt, datefmt=_DATE_FORMAT)
        self._prefix = root_name + "."
        self._abbrev_prefix = abbrev_name + "." if abbrev_name else ""

    def formatMessage(self, record: logging.LogRecord) -> str:
        if record.name.startswith(self._prefix):
            name = self._abbrev_prefix + record.name.removeprefix(self._prefix)
            record = logging.makeLogRecord({**record.__dict__, "name": name})
        line = super().formatMessage(record)
        if record.levelno < logging.WARNING:
            return line
        attributes = ["blink"] if record.levelno == logging.WARNING else ["blink", "underline"]
        prefix = "WARNING" if record.levelno == logging.WARNING else "ERROR"
        return colored(prefix, "red", attrs=attributes) + " " + line


@functools.cache  # a second call must not add the handlers again
def setup_logger(
    output: str | os.PathLike | None = None,
    distributed_rank: int = 0,
    *,
    color: bool = True,
    name: str = "detectron2",
    abbrev_name: str | None = None,
    enable_propagation: bool = False,
    configure_stdout: bool = True,
) -> logging.Logger:
    """Sets up the logger ``name`` at level DEBUG and returns it.

    Args:
        output: A file ending in ``.txt`` or ``.log``, or a folder for ``log.txt``; ranks above 0 write
            to ``<file>.rank<N>``. None writes no file.
        distributed_rank: Rank of this process; only rank 0 writes to the console.
        color: Whether console lines are colored.
        name: Name of the logger.
        abbrev_name: Replaces ``name`` in colored lines of its children; None means "d2" for
            "detectron2", else ``name``.
        enable_propagation: Whether parent loggers also receive the lines.
        configure_stdout: Whether to write to the console at all.
    """
    logger = logging.getLogger(name)
    logger.setLevel(logging.DEBUG)
    logger.propagate = enable_propagation
    if abbrev_name is None:
        abbrev_name = "d2" if name == "detectron2" else name
    plain = logging.Formatter(_PLAIN_FORMAT, datefmt=_DATE_FORMAT)

    if configure_stdout and distributed_rank == 0:
        handler: logging.StreamHandler = logging.StreamHandler(stream=sys.stdout)
        handler.setLevel(logging.DEBUG)
        handler.setFormatter(plain)
        if color:
            green = colored("[%(asctime)s %(name)s]: ", "green") + "%(message)s"
            handler.setFormatter(_ColorfulFormatter(green, name, abbrev_name))
        logger.addHandler(handler)

    if output is not None:
        filename = os.fspath(output)
        if not filename.endswith((".txt", ".log")):
            filename = os.path.join(filename, "log.txt")
        if distributed_rank > 0:
            filename += f".rank{distributed_rank}"
        PathManager.mkdirs(os.path.dirname(filename) or ".")
        handler = logging.StreamHandler(_open_log_file(filename))
        handler.setLevel(logging.DEBUG)
        handler.setFormatter(plain)
        logger.addHandler(handler)
    return logger


@functools.cache  # several loggers may share one file
def _open_log_file(filename: str) -> IO:
    stream = PathManager.open(filename, "a", buffering=1)
    atexit.register(stream.close)
    return stream


def _find_caller() -> tuple[str, tuple]:
    """Returns module name and (file, line, function) of the first frame outside this module."""
    frame: FrameType = sys._getframe(2)
    while frame.f_code.co_filename == __file__ and frame.f_back is not None:
        frame = frame.f_back
    code = frame.f_code
    module = frame.f_globals.get("__name__", "detectron2")
    module = "detectron2" if module == "__main__" else module
    return module, (code.co_filename, frame.f_lineno, code.co_name)


_COUNTER: Counter = Counter()
_LAST_TIME: dict[tuple, float] = {}


def log_first_n(
    lvl: int, msg: str, n: int = 1, *, name: str | None = None, key: str | tuple[str, ...] = "caller"
) -> None:
    """Logs only the first ``n`` times.

    Args:
        lvl: Logging level.
        msg: The line.
        n: Maximum number of lines.
        name: Name of the logger; None means the calling module's.
        key: Identity of a line: "caller" (place in the code), "message", or both.
    """
    keys = (key,) if isinstance(key, str) else tuple(key)
    assert keys, "key must name 'caller', 'message' or both."
    module, caller = _find_caller()
    identity: tuple = ()
    if "caller" in keys:
        identity += caller
    if "message" in keys:
        identity += (msg,)
    _COUNTER[identity] += 1
    if _COUNTER[identity] <= n:
        logging.getLogger(name or module).log(lvl, msg)


def log_every_n_seconds(lvl: int, msg: str, n: float = 1, *, name: str | None = None) -> None:
    """Logs at most once every ``n`` seconds from one place in the code."""
    module, caller = _find_caller()
    now = time.time()
    last = _LAST_TIME.get(caller)
    if last is None or now - last >= n:
        logging.getLogger(name or module).log(lvl, msg)
        _LAST_TIME[caller] = now


def create_small_table(small_dict: dict[str, Any]) -> str:
    """Formats a dict of a few scalars as a table with one row and the keys as headers."""
    keys, values = tuple(zip(*small_dict.items(), strict=True))
    return tabulate(
        [values],
        headers=keys,
        tablefmt="pipe",
        floatfmt=".3f",
        stralign="center",
        numalign="center",
    )
