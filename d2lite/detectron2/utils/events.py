"""Scalars and images of a run: one storage, several writers that drain it."""

import datetime
import json
import logging
import os
from collections import defaultdict
from contextlib import contextmanager
from functools import cached_property

import torch
from fvcore.common.history_buffer import HistoryBuffer
from iopath.common.file_io import g_pathmgr as PathManager

__all__ = [
    "CommonMetricPrinter",
    "EventStorage",
    "EventWriter",
    "JSONWriter",
    "TensorboardXWriter",
    "get_event_storage",
    "has_event_storage",
]

_ACTIVE_STORAGES: list["EventStorage"] = []


def get_event_storage() -> "EventStorage":
    """Returns the storage of the innermost ``with EventStorage(...)`` block that is open."""
    assert _ACTIVE_STORAGES, "No EventStorage is open: use `with EventStorage(...):` around this."
    return _ACTIVE_STORAGES[-1]


def has_event_storage() -> bool:
    """Whether ``get_event_storage`` would succeed."""
    return bool(_ACTIVE_STORAGES)


class EventStorage:
    """Collects what happens in a run, by name and iteration.

    Args:
        start_iter: the iteration that recording starts at.
    """

    def __init__(self, start_iter=0):
        self._iter = start_iter
        self._prefix = ""
        self._histories = defaultdict(HistoryBuffer)
        self._smoothing = {}
        self._latest = {}
        self._vis_data = []

    def put_image(self, img_name, img_tensor):
        """Keeps a (C, H, W) image (uint8 0-255 or float 0-1) until a writer has taken it."""
        self._vis_data.append((img_name, img_tensor, self._iter))

    def put_scalar(self, name, value, smoothing_hint=True, cur_iter=None):
        """Records a number.

        Args:
            name: its name; the open ``name_scope`` is put in front.
            value: a Python number or one-element tensor.
            smoothing_hint: whether the number is noisy, so that writers show its median.
                A name keeps one hint for its life.
            cur_iter: the iteration it belongs to; default: the storage's own.
        """
        name = self._prefix + name
        cur_iter = self._iter if cur_iter is None else cur_iter
        value = float(value)
        self._histories[name].update(value, cur_iter)
        self._latest[name] = (value, cur_iter)
        known = self._smoothing.setdefault(name, smoothing_hint)
        assert known == smoothing_hint, f"Scalar {name} was put with another smoothing_hint before."

    def put_scalars(self, *, smoothing_hint=True, cur_iter=None, **kwargs):
        """Records several numbers: ``put_scalars(loss=1.0, accuracy=0.5)``."""
        for name, value in kwargs.items():
            self.put_scalar(name, value, smoothing_hint=smoothing_hint, cur_iter=cur_iter)

    def history(self, name):
        """Returns the ``HistoryBuffer`` of a scalar; KeyError if it was never put."""
        if name not in self._histories:
            raise KeyError(f"No scalar named {name} was put into this EventStorage")
        return self._histories[name]

    def histories(self):
        """Returns name -> ``HistoryBuffer`` of all scalars."""
        return self._histories

    def latest(self):
        """Returns name -> (newest value, its iteration)."""
        return self._latest

    def latest_with_smoothing_hint(self, window_size=20):
        """Like ``latest``, with the window's median for scalars that asked for smoothing."""
        result = {}
        for name, (value, iteration) in self._latest.items():
            if self._smoothing[name]:
                value = self._histories[name].median(self.count_samples(name, window_size))
            result[name] = (value, iteration)
        return result

    def count_samples(self, name, window_size=20):
        """Returns how many values of a scalar fall into the last ``window_size`` iterations."""
        values = self._histories[name].values()
        newest = values[-1][1]
        return sum(1 for _, iteration in values[-window_size:] if iteration > newest - window_size)

    def smoothing_hints(self):
        """Returns name -> whether the scalar is to be smoothed."""
        return self._smoothing

    def step(self):
        """Moves on to the next iteration."""
        self._iter += 1

    @property
    def iter(self):
        """The iteration that new entries are filed under."""
        return self._iter

    @iter.setter
    def iter(self, val):
        self._iter = int(val)

    @property
    def iteration(self):
        """The same as ``iter``."""
        return self._iter

    def __enter__(self):
        _ACTIVE_STORAGES.append(self)
        return self

    def __exit__(self, exc_type, exc_val, exc_tb):
        assert _ACTIVE_STORAGES[-1] is self
        _ACTIVE_STORAGES.pop()

    @contextmanager
    def name_scope(self, name):
        """Puts ``name/`` in front of every scalar recorded inside the block; scopes do not nest."""
        before, self._prefix = self._prefix, name.rstrip("/") + "/"
        try:
            yield
        finally:
            self._prefix = before

    def clear_images(self):
        """Forgets the kept images."""
        self._vis_data = []


class EventWriter:
    """Base of what carries the storage's content somewhere."""

    def write(self):
        """Takes what is new in ``get_event_storage()``."""
        raise NotImplementedError

    def close(self):
        """Flushes and lets go of files."""


class JSONWriter(EventWriter):
    """Appends one JSON object per iteration and line to a file.

    Args:
        json_file: the file; new lines go to its end.
        window_size: how many iterations the median of noisy scalars looks back.
    """

    def __init__(self, json_file, window_size=20):
        self._file = PathManager.open(json_file, "a")
        self._window_size = window_size
        self._last_write = -1

    def write(self):
        rows = defaultdict(dict)
        latest = get_event_storage().latest_with_smoothing_hint(self._window_size)
        for name, (value, iteration) in latest.items():
            if iteration > self._last_write:
                rows[iteration][name] = value
        for iteration, row in rows.items():
            row["iteration"] = iteration
            self._file.write(json.dumps(row, sort_keys=True) + "\n")
        self._last_write = max(rows, default=self._last_write)
        self._file.flush()
        try:
            os.fsync(self._file.fileno())
        except (AttributeError, OSError):
            pass  # remote and in-memory files have nothing to sync

    def close(self):
        self._file.close()


class TensorboardXWriter(EventWriter):
    """Writes scalars and images for TensorBoard.

    Args:
        log_dir: folder of the event files; made when the first thing is written.
        window_size: how many iterations the median of noisy scalars looks back.
        kwargs: go to ``torch.utils.tensorboard.SummaryWriter``.
    """

    def __init__(self, log_dir: str, window_size: int = 20, **kwargs):
        self._window_size = window_size
        self._writer_args = {"log_dir": log_dir, **kwargs}
        self._last_write = -1

    @cached_property
    def _writer(self):
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(**self._writer_args)

    def write(self):
        storage = get_event_storage()
        newest = self._last_write
        latest = storage.latest_with_smoothing_hint(self._window_size)
        for name, (value, iteration) in latest.items():
            if iteration > self._last_write:
                self._writer.add_scalar(name, value, iteration)
                newest = max(newest, iteration)
        self._last_write = newest
        for name, image, iteration in storage._vis_data:
            self._writer.add_image(name, image, iteration)
        storage.clear_images()

    def close(self):
        if "_writer" in self.__dict__:
            self._writer.close()


class CommonMetricPrinter(EventWriter):
    """Logs one line with the usual numbers: ETA, losses, times, learning rate, memory.

    Args:
        max_iter: last iteration + 1, for the ETA; None prints none.
        window_size: how many iterations medians and averages look back.
    """

    def __init__(self, max_iter: int | None = None, window_size: int = 20):
        self.logger = logging.getLogger("detectron2.utils.events")
        self._max_iter = max_iter
        self._window_size = window_size

    def _get_eta(self, storage) -> str | None:
        if self._max_iter is None:
            return None
        left = self._max_iter - storage.iter - 1
        if "time" in storage.histories():
            per_iter = storage.history("time").median(1000)
            storage.put_scalar("eta_seconds", per_iter * left, smoothing_hint=False)
            return str(datetime.timedelta(seconds=int(per_iter * left)))
        return None  # nothing was timed yet

    def _time_fields(self, storage):
        """Pieces such as ``time: 0.1  last_time: 0.2`` for the timers that have been put."""
        histories = storage.histories()
        for name in ("time", "data_time"):
            if name in histories:
                window = storage.count_samples(name, self._window_size)
                yield f"{name}: {histories[name].avg(window):.4f}"
                yield f"last_{name}: {histories[name].latest():.4f}"

    def write(self):
        storage = get_event_storage()
        if storage.iter == self._max_iter:
            return  # the run is over: this iteration has no numbers
        eta = self._get_eta(storage)
        histories = storage.histories()
        pieces = [f"eta: {eta}"] if eta else []
        pieces.append(f"iter: {storage.iter}")
        for name, history in histories.items():
            if "loss" in name:
                window = storage.count_samples(name, self._window_size)
                pieces.append(f"{name}: {history.median(window):.4g}")
        pieces.extend(self._time_fields(storage))
        if "lr" in histories:
            pieces.append(f"lr: {histories['lr'].latest():.5g}")
        if torch.cuda.is_available():
            pieces.append(f"max_mem: {torch.cuda.max_memory_allocated() / 1024.0**2:.0f}M")
        self.logger.info(" " + "  ".join(pieces))
