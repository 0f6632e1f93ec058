"""Frames of a video file or of a camera."""

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from .errors import InputError

DEFAULT_FPS = 25.0
# Frames after which a rate that was steady is taken for that of the whole file.
_PROBED_FRAMES = 250
_TIMES_ROUNDED_TO = 2.0  # milliseconds; containers round frames' times
# FFmpeg's AV_LOG_QUIET.
FFMPEG_QUIET = "-8"


class VideoSource:
    """Frames of a video file or of a camera.

    Attributes:
        name: Its name in messages and result files.
        fps: Frames per second; ``DEFAULT_FPS`` if unknown. If the frames' times contradict the header, as in
            recordings of browsers and phones, the mean rate with which the video lasts as long.
        num_frames: Length according to the file's header, or counted if its rate is wrong; None for a camera
            or if unknown.
    """

    def __init__(self, source: str | int):
        """
        Args:
            source: Path of a video file, or number of a camera.

        Raises:
            InputError: If the file or camera does not exist or cannot be read.
        """
        silence_opencv()
        if isinstance(source, int):
            self.name, problem = f"webcam{source}", f"--webcam: no camera {source} can be opened"
        else:
            self.name, problem = Path(source).name, f"video {source} cannot be read as a video"
            if not Path(source).is_file():
                raise InputError(f"video {source} does not exist")
        self._capture = cv2.VideoCapture(source)
        self._next: np.ndarray | None = None
        opened, frame = self._capture.read() if self._capture.isOpened() else (False, None)
        self._next = frame
        if not opened:
            self._capture.release()
            raise InputError(problem)
        self.fps = self._property(cv2.CAP_PROP_FPS) or DEFAULT_FPS
        self.num_frames: int | None = None
        if not isinstance(source, int):
            self.num_frames = int(self._property(cv2.CAP_PROP_FRAME_COUNT)) or None
            times = frame_times(source, self.fps)
            if not is_steady(times, self.fps):
                self.fps, self.num_frames = 1000 * len(times) / (times[-1] - times[0]), len(times)

    def _property(self, which: int) -> float:
        value = self._capture.get(which)
        return value if np.isfinite(value) and value > 0 else 0.0

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yields BGR uint8 frames (H, W, 3) until the source ends; works once."""
        try:
            while self._next is not None:
                frame = self._next
                more, following = self._capture.read()
                self._next = following if more else None
                yield frame
        finally:
            self._capture.release()


def frame_times(path: str, fps: float) -> list[float]:
    """Reads the times of a video file's frames in milliseconds, at first only of some.

    Args:
        path: The file.
        fps: Its header's rate; if the first frames keep it, the others' times are not read.
    """
    capture, times = cv2.VideoCapture(path), []
    while capture.grab():
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC))
        if len(times) == _PROBED_FRAMES and is_steady(times, fps):
            break
    capture.release()
    return times


def is_steady(times: list[float], fps: float) -> bool:
    """Returns True if frames' times, in milliseconds, are those of a constant rate, or not known."""
    passed = np.array(times) - times[0] if times else np.zeros(1)
    if passed[-1] <= 0:
        return True
    step = 1000 / fps
    return bool(np.abs(passed - step * np.arange(len(passed))).max() <= max(step / 2, _TIMES_ROUNDED_TO))


def silence_opencv() -> None:
    """Silences OpenCV's and FFmpeg's own messages; ``InputError`` describes the problem."""
    logging = getattr(cv2.utils, "logging", cv2)  # OpenCV 5, or 4
    logging.setLogLevel(0)  # silent
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", FFMPEG_QUIET)
