"""The console of a run: progress, results and warnings; ``log.txt`` has everything."""

import contextlib
import io
import logging
import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from tqdm import tqdm

from detectron2.engine import HookBase
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

_LOGGERS = ("detectron2", "fvcore", "solo_d2")
_OWN = "solo_d2"
_PROGRESS = "detectron2.utils.events"  # the lines of losses, which a bar replaces
_WINDOW = 20  # iterations in the medians of a bar's losses


class _Console(logging.Filter):
    """Lets warnings, this package's own messages, and lines of losses pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        is_own = record.name.partition(".")[0] == _OWN
        if record.levelno >= (logging.INFO if is_own else logging.WARNING):
            return True
        return record.name == _PROGRESS and not has_terminal()


class _AboveBars(io.TextIOBase):
    """A stream to stdout that keeps progress bars below what is written."""

    def write(self, text: str) -> int:
        tqdm.write(text, file=sys.stdout, end="")
        return len(text)

    def flush(self) -> None:
        sys.stdout.flush()


_CONSOLE, _ABOVE_BARS = _Console(), _AboveBars()


def has_terminal() -> bool:
    """Returns whether a progress bar can be shown."""
    return sys.stdout.isatty() and sys.stderr.isatty()


def set_up_logging(folder: str) -> None:
    """Sends all messages of a run to ``folder/log.txt`` and those that a person reads to the console.

    Args:
        folder: ``OUTPUT_DIR``.
    """
    for name in _LOGGERS:  # as ``default_setup`` will, which then adds no others
        options = {} if name == "detectron2" else {"name": name}
        own = setup_logger(folder, distributed_rank=comm.get_rank(), **options)
        for handler in own.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
                handler.addFilter(_CONSOLE)
                if has_terminal():
                    handler.setStream(_ABOVE_BARS)


@contextlib.contextmanager
def own_logging() -> Iterator[None]:
    """Gives the runs of one process their own handlers: none repeats lines or writes to another's file."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(own.handlers, own.propagate, own.level) for own in loggers]
    for own in loggers:
        own.handlers = []
    setup_logger.cache_clear()
    try:
        yield
    finally:
        for own, (handlers, propagate, level) in zip(loggers, before, strict=True):
            own.handlers, own.propagate = handlers, propagate
            own.setLevel(level)
        setup_logger.cache_clear()


class ProgressBar(HookBase):
    """A bar with the time left and the losses, below the messages of the console."""

    def before_train(self) -> None:
        """Shows the bar."""
        self._bar = tqdm(total=self.trainer.max_iter, initial=self.trainer.start_iter, unit="it", leave=True)

    def after_step(self) -> None:
        """Counts the iteration; shows the losses now and then."""
        self._bar.update()
        if self.trainer.iter % _WINDOW == 0 or self.trainer.iter + 1 == self.trainer.max_iter:
            histories = self.trainer.storage.histories().items()
            losses = {name: f"{values.median(_WINDOW):.3g}" for name, values in histories if "loss" in name}
            self._bar.set_postfix(losses)

    def after_train(self) -> None:
        """Leaves the bar as it is."""
        self._bar.close()


def summary(results: Mapping[str, Any], classes: bool = False) -> list[str]:
    """Returns results as lines to read: "segm: AP 41.2, AP50 63.0".

    Args:
        results: Numbers by name, by task or by data set and task. Undefined ones are left out.
        classes: Whether a line with each class's numbers follows.
    """
    lines = []
    for task, values in results.items():
        if not isinstance(values, Mapping):
            continue
        if any(isinstance(value, Mapping) for value in values.values()):
            lines += [f"{task} {line}" for line in summary(values, classes)]
            continue
        numbers = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        whole = [f"{name} {value:.1f}" for name, value in numbers.items() if "-" not in name]
        lines.append(f"{task}: {', '.join(whole) or 'nothing to measure'}")
        single = [f"{name} {value:.1f}" for name, value in numbers.items() if "-" in name]
        if classes and single:
            lines.append(f"{task} by class: {', '.join(single)}")
    return lines
