"""A video through the model: frames, rows and Ctrl-C."""

import numpy as np
import pytest

from solo_d2.commands.predict.frames import segment_video
from solo_d2.inputs import batched
from solo_d2.utils.video_file import open_sink
from solo_d2.utils.video_source import VideoSource


@pytest.fixture
def video(tmp_path):
    generator = np.random.default_rng(0)
    with open_sink(tmp_path / "in.mp4", 12.0) as sink:
        for _ in range(5):
            sink.write(generator.integers(0, 255, (48, 64, 3), np.uint8))
    return tmp_path / "in.mp4"


def test_every_frame_is_segmented(video, make_job, tmp_path):
    outcome = segment_video(VideoSource(str(video)), tmp_path / "out.mp4", make_job(), "cpu")
    assert outcome.num_done == 5
    assert {row["image_id"] for row in outcome.rows} <= {1, 2, 3, 4, 5}
    assert all(row["file_name"] == "in.mp4" for row in outcome.rows)
    written = VideoSource(str(tmp_path / "out.mp4"))
    assert written.fps == 12.0
    assert [frame.shape for frame in written] == [(48, 64, 3)] * 5


class InterruptedSource:
    """A camera that Ctrl-C ends after its third frame."""

    name, fps, num_frames = "webcam0", 12.0, None

    def __iter__(self):
        for _ in range(3):
            yield np.zeros((48, 64, 3), np.uint8)
        raise KeyboardInterrupt


def test_interrupt_keeps_whole_batches(make_job, tmp_path):
    outcome = segment_video(InterruptedSource(), tmp_path / "out.mp4", make_job(batch_size=1), "cpu")
    assert outcome.num_done == 3
    assert len(list(VideoSource(str(tmp_path / "out.mp4")))) == 3


def test_video_that_ends_early_is_reported(video, make_job, tmp_path, capsys):
    source = VideoSource(str(video))
    source.num_frames = 9
    segment_video(source, tmp_path / "out.mp4", make_job(), "cpu")
    assert "in.mp4 ends after 5 of 9 frames" in capsys.readouterr().out


def test_batched():
    assert list(batched(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batched([], 2)) == []
