"""Frames out of mp4 files."""

import os
import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest

from solo_d2.utils import video_source as video
from solo_d2.utils.errors import InputError
from solo_d2.utils.video_file import open_sink
from solo_d2.utils.video_source import VideoSource


def frames(count: int, size=(48, 64)):
    for index in range(count):
        yield np.full((*size, 3), (40 * index, 100, 200), np.uint8)


def write(path, count=4, fps=10.0):
    with open_sink(path, fps) as sink:
        for frame in frames(count):
            sink.write(frame)
    return path


def test_round_trip(tmp_path):
    source = VideoSource(str(write(tmp_path / "sub" / "a.mp4")))
    assert (source.name, source.fps, source.num_frames) == ("a.mp4", 10.0, 4)
    read = list(source)
    assert len(read) == 4
    for got, wanted in zip(read, frames(4), strict=True):
        assert got.shape == wanted.shape
        assert np.abs(got.mean((0, 1)) - wanted.mean((0, 1))).max() < 8, "BGR stays BGR"


def retime(path, durations):
    """Gives each frame of an mp4 file a duration of its own, in units of its clock, as phones write them.

    The table of times ("stts") is inside nested boxes at the file's end; all grow with it. The list of edits,
    which limits the duration, goes.
    """
    data, boxes, start = bytearray(path.read_bytes().replace(b"edts", b"free")), [], 0
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts"):
        at = data.index(name, start) - 4
        boxes.append(at)
        start = at + 8
    (size,) = struct.unpack_from(">I", data, boxes[-1])
    table = struct.pack(">II", 0, len(durations)) + b"".join(struct.pack(">II", 1, d) for d in durations)
    data[boxes[-1] + 8 : boxes[-1] + size] = table
    for at in boxes:
        (old,) = struct.unpack_from(">I", data, at)
        struct.pack_into(">I", data, at, old + len(table) + 8 - size)
    path.write_bytes(data)


def clock_of(path):
    data = path.read_bytes()
    return struct.unpack_from(">I", data, data.index(b"mdhd") + 16)[0]


def times_of(path):
    capture, times = cv2.VideoCapture(str(path)), []
    while capture.grab():
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC))
    return times


GAPS = [0.03, 0.3, 0.1, 0.2, 0.05, 0.2, 0.05, 0.03]  # seconds


def test_a_variable_rate_keeps_its_duration(tmp_path):
    path = write(tmp_path / "a.mp4", count=8, fps=30.0)
    retime(path, [round(gap * clock_of(path)) for gap in GAPS])
    times = times_of(path)
    assert np.diff(times) == pytest.approx([1000 * gap for gap in GAPS[:-1]], abs=1)
    source = VideoSource(str(path))
    assert len(list(source)) == source.num_frames == 8
    assert 8 / source.fps == pytest.approx((times[-1] - times[0]) / 1000) == pytest.approx(0.93, abs=0.01)


def test_a_steady_rate_is_the_headers(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mp4", count=8, fps=24000 / 1001)
    monkeypatch.setattr(video, "_PROBED_FRAMES", 3)
    assert len(video.frame_times(str(path), 23.976)) == 3 and len(video.frame_times(str(path), 1000)) == 8
    source = VideoSource(str(path))
    assert (source.fps, source.num_frames) == (23.976, 8)


class Recording:
    """A browser's recording as OpenCV reads it: the rate is its clock's, and its length a guess."""

    header = {cv2.CAP_PROP_FPS: 1000.0, cv2.CAP_PROP_FRAME_COUNT: 901.0}

    def __init__(self, path):
        self.times = [0, 33, 166, 300, 433, 600, 800, 930]
        self.passed = -1

    def isOpened(self):
        return True

    def grab(self):
        self.passed += 1
        return self.passed < len(self.times)

    def read(self):
        return (True, np.zeros((8, 8, 3), np.uint8)) if self.grab() else (False, None)

    def get(self, which):
        return self.times[self.passed] if which == cv2.CAP_PROP_POS_MSEC else self.header[which]

    def release(self):
        pass


def test_a_header_with_the_clock_for_a_rate(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", Recording)
    (tmp_path / "a.webm").touch()
    source = VideoSource(str(tmp_path / "a.webm"))
    assert source.num_frames == len(list(source)) == 8 and 8 / source.fps == pytest.approx(0.93)


@pytest.mark.parametrize(
    ("times", "fps", "steady"),
    [
        ([], 25, True),
        ([40], 25, True),
        ([0, 0, 0], 25, True),
        ([0, 33, 67, 100], 30, True),
        ([1000, 1033, 1067], 30, True),
        ([0, 33, 67, 133], 30, False),
        ([0, 100, 200], 30, False),
        ([0, 1, 2, 3], 1000, True),
        ([0, 10, 20, 30], 1000, False),
    ],
)
def test_steady_times(times, fps, steady):
    assert video.is_steady(times, fps) == steady


def test_bad_sources(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(InputError, match="does not exist"):
        VideoSource(str(tmp_path / "gone.mp4"))
    with pytest.raises(InputError, match=r"text\.mp4 cannot be read"):
        VideoSource(str(tmp_path / "text.mp4"))
    with pytest.raises(InputError, match="no camera 97"):
        VideoSource(97)


def test_opencv_says_nothing_of_its_own(tmp_path):
    """In a process of its own: OpenCV reads its log level once."""
    (tmp_path / "text.mp4").write_text("no video")
    code = (
        "import sys\nfrom solo_d2.utils import video_source as video\n"
        "try: video.VideoSource(sys.argv[1])\nexcept ValueError: print('refused')"
    )
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "text.mp4")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert result.stdout == "refused\n" and result.stderr == ""
