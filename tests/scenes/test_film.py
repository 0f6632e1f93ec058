"""The panning film."""

import cv2
import numpy as np
import pytest

from solo_d2.scenes import write_film
from solo_d2.scenes.film import film_frames
from solo_d2.utils.errors import InputError


def test_camera_moves_a_little_every_frame_and_comes_back():
    frames = film_frames(num_frames=24, size=64)
    assert frames.shape == (24, 64, 64, 3)
    assert all((a != b).any() for a, b in zip(frames[:-1], frames[1:], strict=True))
    shift = np.abs(frames[1:, 8:-8, 8:-8].astype(int) - frames[:-1, 8:-8, 8:-8]).mean()
    assert shift < np.abs(frames[12].astype(int) - frames[0]).mean()


def test_film_can_be_read_and_is_whole(tmp_path):
    write_film(tmp_path / "new" / "film.mp4", size=64)
    capture = cv2.VideoCapture(str(tmp_path / "new" / "film.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 48
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["film.mp4"]


def test_other_suffix_is_refused(tmp_path):
    with pytest.raises(InputError, match="an .mp4 file"):
        write_film(tmp_path / "film.avi")
