"""Logging: coloured console lines for the main process and one file per process."""

import atexit
import functools
import logging
import os
import sys
import time
from collections import Counter

from tabulate import tabulate
from termcolor import colored

from detectron2.utils.file_io import PathManager

__all__ = ["setup_logger", "log_first_n", "log_every_n", "log_every_n_seconds"]

_DATE_FORMAT = "%m/%d %H:%M:%S"
_PLAIN_FORMAT = "[%(asctime)s] %(name)s %(levelname)s: %(message)s"


class _ColorfulFormatter(logging.Formatter):
    """Shortens the names of child loggers, and marks warnings and errors with a coloured word."""

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
    output=None,
    distributed_rank=0,
    *,
    color=True,
    name="detectron2",
    abbrev_name=None,
    enable_propagation: bool = False,
    configure_stdout: bool = True,
) -> logging.Logger:
    """Sets up the logger ``name`` at level DEBUG, and returns it.

    Args:
        output: a file ending in ``.txt`` or ``.log``, or a folder in which ``log.txt`` is written;
            ranks above 0 write to ``<file>.rank<N>``. None writes no file.
        distributed_rank: rank of this process; only rank 0 writes to the console.
        color: whether console lines are coloured.
        name: name of the logger.
        abbrev_name: stands for ``name`` in coloured lines of its children; default ``"d2"`` for
            ``"detectron2"``, else ``name``.
        enable_propagation: whether parent loggers receive the lines too.
        configure_stdout: whether to write to the console at all.
    """
    logger = logging.getLogger(name)
    logger.setLevel(logging.DEBUG)
    logger.propagate = enable_propagation
    if abbrev_name is None:
        abbrev_name = "d2" if name == "detectron2" else name
    plain = logging.Formatter(_PLAIN_FORMAT, datefmt=_DATE_FORMAT)

    if configure_stdout and distributed_rank == 0:
        handler = logging.StreamHandler(stream=sys.stdout)
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
def _open_log_file(filename: str):
    stream = PathManager.open(filename, "a", buffering=1)
    atexit.register(stream.close)
    return stream


def _find_caller() -> tuple[str, tuple]:
    """Module name and (file, line, function) of the first frame outside this module."""
    frame = sys._getframe(2)
    while frame.f_code.co_filename == __file__:
        frame = frame.f_back
    code = frame.f_code
    module = frame.f_globals.get("__name__", "detectron2")
    module = "detectron2" if module == "__main__" else module
    return module, (code.co_filename, frame.f_lineno, code.co_name)


_COUNTER: Counter = Counter()
_LAST_TIME: dict = {}


def log_first_n(lvl, msg, n=1, *, name=None, key="caller") -> None:
    """Logs only the first ``n`` times.

    Args:
        lvl: logging level.
        msg: the line.
        n: how often at most.
        name: logger; default the calling module's.
        key: what counts as the same: ``"caller"`` (place in the code), ``"message"`` or both.
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


def log_every_n(lvl, msg, n=1, *, name=None) -> None:
    """Logs the first of every ``n`` calls from one place in the code."""
    module, caller = _find_caller()
    _COUNTER[caller] += 1
    if n == 1 or _COUNTER[caller] % n == 1:
        logging.getLogger(name or module).log(lvl, msg)


def log_every_n_seconds(lvl, msg, n=1, *, name=None) -> None:
    """Logs at most once in ``n`` seconds from one place in the code."""
    module, caller = _find_caller()
    now = time.time()
    last = _LAST_TIME.get(caller)
    if last is None or now - last >= n:
        logging.getLogger(name or module).log(lvl, msg)
        _LAST_TIME[caller] = now


def create_small_table(small_dict) -> str:
    """Formats a dict of a few scalars as a table of one row, keys as headers."""
    keys, values = tuple(zip(*small_dict.items(), strict=True))
    return tabulate(
        [values],
        headers=keys,
        tablefmt="pipe",
        floatfmt=".3f",
        stralign="center",
        numalign="center",
    )
