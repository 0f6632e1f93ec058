"""Frames out of mp4 files."""

import os
import subprocess
import sys

import numpy as np
import pytest

from solo_d2.commands.predict.video import VideoSource
from solo_d2.utils.errors import InputError
from solo_d2.utils.video_file import open_sink


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
        "import sys\nfrom solo_d2.commands.predict import video\n"
        "try: video.VideoSource(sys.argv[1])\nexcept ValueError: print('refused')"
    )
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "text.mp4")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert result.stdout == "refused\n" and result.stderr == ""
