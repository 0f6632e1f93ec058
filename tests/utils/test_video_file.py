"""mp4 files are complete or absent."""

import cv2
import numpy as np
import pytest

from solo_d2.utils.errors import InputError
from solo_d2.utils.video_file import codable_rate, open_sink


def frames(count, size=(48, 64)):
    for index in range(count):
        yield np.full((*size, 3), (40 * index, 100, 200), np.uint8)


def read(path):
    capture = cv2.VideoCapture(str(path))
    while (answer := capture.read())[0]:
        yield answer[1]


def test_frames_come_back(tmp_path):
    path = tmp_path / "sub" / "a.mp4"
    with open_sink(path, 10.0) as sink:
        for frame in frames(4):
            sink.write(frame)
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == 10.0
    for got, wanted in zip(read(path), frames(4), strict=True):
        assert got.shape == wanted.shape
        assert np.abs(got.mean((0, 1)) - wanted.mean((0, 1))).max() < 8, "BGR stays BGR"
    assert [path.name for path in path.parent.iterdir()] == ["a.mp4"]


def test_an_error_leaves_no_file_and_keeps_the_former(tmp_path):
    (tmp_path / "a.mp4").write_text("former")
    with pytest.raises(RuntimeError), open_sink(tmp_path / "a.mp4", 10.0) as sink:
        sink.write(next(frames(1)))
        raise RuntimeError("model failed")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["former"]


@pytest.mark.parametrize("count", [0, 3])
def test_interrupt_keeps_the_frames_so_far(tmp_path, count):
    with pytest.raises(KeyboardInterrupt), open_sink(tmp_path / "a.mp4", 10.0) as sink:
        for frame in frames(count):
            sink.write(frame)
        raise KeyboardInterrupt
    assert len(list(tmp_path.iterdir())) == bool(count)
    assert len(list(read(tmp_path / "a.mp4"))) == count


def test_no_frames(tmp_path):
    with pytest.raises(InputError, match=r"a\.mp4 is not written: there are no frames"):
        with open_sink(tmp_path / "a.mp4", 10.0):
            pass
    assert not list(tmp_path.iterdir())


def test_other_containers_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"a\.unknown: OpenCV cannot write an mp4 video there"):
        with open_sink(tmp_path / "a.unknown", 10.0) as sink:
            sink.write(next(frames(1)))
    assert not list(tmp_path.iterdir())


RATES = [0.001, 0.5, 10, 24000 / 1001, 59.94, 65.536, 66.667, 99.9999, 211.222, 240, 1000, 7000.5, 90000]


@pytest.mark.parametrize("fps", RATES)
def test_any_rate_is_written(tmp_path, fps):
    with open_sink(tmp_path / "a.mp4", fps) as sink:
        for frame in frames(3):
            sink.write(frame)
    capture = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    expected = min(max(fps, 0.01), 65535)
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(codable_rate(fps), rel=1e-4)
    assert codable_rate(fps) == pytest.approx(expected, rel=1e-3)
    assert len(list(read(tmp_path / "a.mp4"))) == 3


@pytest.mark.parametrize("size", [(49, 65), (48, 65), (49, 64), (1, 64), (1, 1)])
def test_odd_sizes_lose_no_pixel(tmp_path, size):
    with open_sink(tmp_path / "a.mp4", 10.0) as sink:
        for frame in frames(2, size):
            frame[-1:, -1:] = 255
            sink.write(frame)
    first, _ = read(tmp_path / "a.mp4")
    assert first.shape == (size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
    if min(size) > 8:
        assert first[-1, -1].min() > 150, "the corner is still there"
