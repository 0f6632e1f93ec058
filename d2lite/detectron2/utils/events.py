"""Scalars and images of a run: a storage, and writers that empty it."""

import datetime
import json
import logging
import os
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import torch
from fvcore.common.history_buffer import HistoryBuffer
from iopath.common.file_io import g_pathmgr as PathManager

_ACTIVE_STORAGES: list["EventStorage"] = []


def get_event_storage() -> "EventStorage":
    """Returns the storage of the innermost ``with EventStorage(...)`` block that is open."""
    assert _ACTIVE_STORAGES, "No EventStorage is open: use `with EventStorage(...):` around this."
    return _ACTIVE_STORAGES[-1]


def has_event_storage() -> bool:
    """Returns whether an ``EventStorage`` is open."""
    return bool(_ACTIVE_STORAGES)


class EventStorage:
    """The scalars and images of a run, by name and iteration.

    Args:
        start_iter: First iteration of the records.
    """

    def __init__(self, start_iter: int = 0):
        self._iter = start_iter
        self._histories: dict[str, HistoryBuffer] = defaultdict(HistoryBuffer)
        self._smoothing: dict[str, bool] = {}
        self._latest: dict[str, tuple[float, int]] = {}
        self._vis_data: list[tuple[str, Any, int]] = []

    def put_image(self, img_name: str, img_tensor: Any) -> None:
        """Keeps a (C, H, W) image (uint8 0..255 or float 0..1) until a writer takes it."""
        self._vis_data.append((img_name, img_tensor, self._iter))

    def put_scalar(
        self, name: str, value: Any, smoothing_hint: bool = True, cur_iter: int | None = None
    ) -> None:
        """Records a number.

        Args:
            name: Name of the scalar.
            value: A Python number or a one-element tensor.
            smoothing_hint: Whether the number is noisy, so that writers show its median; every call
                for a name must pass the same value.
            cur_iter: The number's iteration; None means the storage's.
        """
        cur_iter = self._iter if cur_iter is None else cur_iter
        value = float(value)
        self._histories[name].update(value, cur_iter)
        self._latest[name] = (value, cur_iter)
        known = self._smoothing.setdefault(name, smoothing_hint)
        assert known == smoothing_hint, f"Scalar {name} was put with a different smoothing_hint before."

    def put_scalars(self, *, smoothing_hint: bool = True, cur_iter: int | None = None, **kwargs: Any) -> None:
        """Records several numbers: ``put_scalars(loss=1.0, accuracy=0.5)``."""
        for name, value in kwargs.items():
            self.put_scalar(name, value, smoothing_hint=smoothing_hint, cur_iter=cur_iter)

    def history(self, name: str) -> HistoryBuffer:
        """Returns the history of a scalar, or raises KeyError if it was never put."""
        if name not in self._histories:
            raise KeyError(f"No scalar named {name} was put into this EventStorage")
        return self._histories[name]

    def histories(self) -> dict[str, HistoryBuffer]:
        """Returns the histories of all scalars by name."""
        return self._histories

    def smoothing_hints(self) -> dict[str, bool]:
        """Returns whether each scalar is noisy."""
        return self._smoothing

    def latest(self) -> dict[str, tuple[float, int]]:
        """Returns the newest value and its iteration by name."""
        return self._latest

    def latest_with_smoothing_hint(self, window_size: int = 20) -> dict[str, tuple[float, int]]:
        """Returns the same as ``latest``, but the window's median for noisy scalars."""
        result = {}
        for name, (value, iteration) in self._latest.items():
            if self._smoothing[name]:
                value = self._histories[name].median(self.count_samples(name, window_size))
            result[name] = (value, iteration)
        return result

    def count_samples(self, name: str, window_size: int = 20) -> int:
        """Returns the number of values of a scalar in the last ``window_size`` iterations."""
        values = self._histories[name].values()
        newest = values[-1][1]
        return sum(1 for _, iteration in values[-window_size:] if iteration > newest - window_size)

    @property
    def iter(self) -> int:
        """The iteration of new records."""
        return self._iter

    @iter.setter
    def iter(self, val: int) -> None:
        self._iter = int(val)

    def __enter__(self) -> "EventStorage":
        _ACTIVE_STORAGES.append(self)
        return self

    def __exit__(self, *exception: Any) -> None:
        assert _ACTIVE_STORAGES[-1] is self
        _ACTIVE_STORAGES.pop()

    def clear_images(self) -> None:
        """Discards the kept images."""
        self._vis_data = []


class EventWriter:
    """Base class of outputs of the storage."""

    def write(self) -> None:
        """Writes new records of ``get_event_storage()``."""
        raise NotImplementedError

    def close(self) -> None:
        """Flushes and closes files."""


class JSONWriter(EventWriter):
    """Appends one JSON object per iteration, on a line of its own.

    Args:
        json_file: Path of the file; existing lines are kept.
        window_size: Iterations in the median of noisy scalars.
    """

    def __init__(self, json_file: str, window_size: int = 20):
        self._file: Any = PathManager.open(json_file, "a")
        self._window_size = window_size
        self._last_write = -1

    def write(self) -> None:
        rows: dict[int, dict] = defaultdict(dict)
        latest = get_event_storage().latest_with_smoothing_hint(self._window_size)
        for name, (value, iteration) in latest.items():
            if iteration > self._last_write:
                rows[iteration][name] = value
        for iteration, row in sorted(rows.items()):
            row["iteration"] = iteration
            self._file.write(json.dumps(row, sort_keys=True) + "\n")
        self._last_write = max(rows, default=self._last_write)
        self._file.flush()
        try:
            os.fsync(self._file.fileno())
        except (AttributeError, OSError):
            pass  # remote and in-memory files have nothing to sync

    def close(self) -> None:
        self._file.close()


class TensorboardXWriter(EventWriter):
    """Writes scalars and images for TensorBoard.

    Args:
        log_dir: Folder of the event files; the first record creates it.
        window_size: Iterations in the median of noisy scalars.
        kwargs: Further arguments of ``torch.utils.tensorboard.SummaryWriter``.
    """

    def __init__(self, log_dir: str, window_size: int = 20, **kwargs: Any):
        self._window_size = window_size
        self._writer_args: dict[str, Any] = {"log_dir": log_dir, **kwargs}
        self._last_write = -1

    @cached_property
    def _writer(self) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(**self._writer_args)

    def write(self) -> None:
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

    def close(self) -> None:
        if "_writer" in self.__dict__:
            self._writer.close()


class CommonMetricPrinter(EventWriter):
    """Logs a line with ETA, losses, times, learning rate and memory.

    Args:
        max_iter: Last iteration + 1, for the ETA; None means no ETA.
        window_size: Iterations in medians and averages.
    """

    def __init__(self, max_iter: int | None = None, window_size: int = 20):
        self.logger = logging.getLogger("detectron2.utils.events")
        self._max_iter = max_iter
        self._window_size = window_size

    def _get_eta(self, storage: EventStorage) -> str | None:
        if self._max_iter is None:
            return None
        left = self._max_iter - storage.iter - 1
        if "time" in storage.histories():
            per_iter = storage.history("time").median(1000)
            storage.put_scalar("eta_seconds", per_iter * left, smoothing_hint=False)
            return str(datetime.timedelta(seconds=int(per_iter * left)))
        return None  # nothing is timed yet

    def _time_fields(self, storage: EventStorage) -> Iterator[str]:
        """Yields parts such as ``time: 0.1`` and ``last_time: 0.2`` of recorded timers."""
        histories = storage.histories()
        for name in ("time", "data_time"):
            if name in histories:
                window = storage.count_samples(name, self._window_size)
                yield f"{name}: {histories[name].avg(window):.4f}"
                yield f"last_{name}: {histories[name].latest():.4f}"

    def write(self) -> None:
        storage = get_event_storage()
        if storage.iter == self._max_iter:
            return  # after the last iteration: no numbers
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
