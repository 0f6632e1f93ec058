"""Writes mp4 files frame by frame and atomically."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from .atomic_file import atomic_write
from .errors import InputError

_CODEC = "mp4v"
# MPEG-4 counts time in units of 1/N seconds, N up to this; OpenCV makes N from three decimals of the rate.
_LARGEST_CLOCK = 65535
_SLOWEST = 0.01  # frames per second


class VideoSink:
    """Appends BGR frames of one size to an open video file, see :func:`open_sink`."""

    def __init__(self, path: Path, temporary: Path, fps: float):
        self.num_frames = 0
        self._path = path
        self._temporary = temporary
        self._fps = fps
        self._writer: cv2.VideoWriter | None = None

    def write(self, frame: np.ndarray) -> None:
        """Appends a BGR uint8 frame (H, W, 3).

        The codec needs even sides: an odd side gets its last pixels twice.

        Raises:
            InputError: This OpenCV cannot write mp4 files there.
        """
        height, width = frame.shape[:2]
        if height % 2 or width % 2:
            frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._writer is None:
            size = (frame.shape[1], frame.shape[0])
            codec = cv2.VideoWriter.fourcc(*_CODEC)
            self._writer = cv2.VideoWriter(str(self._temporary), codec, self._fps, size)
            if not self._writer.isOpened():
                raise InputError(f"{self._path}: OpenCV cannot write an mp4 video there")
        self._writer.write(frame)
        self.num_frames += 1

    def close(self) -> None:
        """Writes the frames that are still in memory."""
        if self._writer is not None:
            self._writer.release()


def codable_rate(fps: float) -> float:
    """Returns the nearest rate that an mp4 file can have: with up to three decimals below 65, fewer above."""
    fps = min(max(fps, _SLOWEST), float(_LARGEST_CLOCK))
    decimals = next(places for places in (3, 2, 1, 0) if round(fps * 10**places) <= _LARGEST_CLOCK)
    return round(fps, decimals)


@contextmanager
def open_sink(path: str | os.PathLike, fps: float) -> Iterator[VideoSink]:
    """Yields a sink; the file appears at the end, or on Ctrl-C with the frames so far, but not on an error.

    Args:
        path: The ``.mp4`` file; its folder is created.
        fps: Frames per second; see :func:`codable_rate`.

    Raises:
        InputError: If there were no frames, or the file cannot be written.
    """
    path, interrupt = Path(path), None
    with atomic_write(path, make_folder=True, keep_suffix=True) as temporary:
        sink = VideoSink(path, temporary, codable_rate(fps))
        try:
            yield sink
        except KeyboardInterrupt as error:
            if not sink.num_frames:
                raise
            interrupt = error
        finally:
            sink.close()
        if not sink.num_frames:
            raise InputError(f"{path} is not written: there are no frames")
    if interrupt is not None:
        raise interrupt
