"""Batches, damaged pictures in between, and the work split over processes."""

import pytest
from PIL import Image

from solo_d2.commands.predict.inputs import find_images
from solo_d2.commands.predict.pictures import segment_pictures
from solo_d2.utils.errors import InputError


def segment(folder, out, job, devices=("cpu",)):
    images = find_images([str(folder)])
    return segment_pictures(images, [out / image.name for image in images], job, list(devices))


def test_every_picture_is_written_under_its_name(make_pictures, make_job, tmp_path):
    folder = make_pictures("3.png", "a.jpg", "sub/b.png")
    outcome = segment(folder, tmp_path / "out", make_job())
    assert (outcome.num_done, outcome.failures) == (3, [])
    for name in ("3.png", "a.jpg", "sub/b.png"):
        with Image.open(tmp_path / "out" / name) as drawn:
            assert drawn.size == (7 * 64, 7 * 48), "small pictures are enlarged to 320 pixels"
    assert {row["image_id"] for row in outcome.rows} == {1, 2, 3}
    assert outcome.rows == sorted(outcome.rows, key=lambda row: row["image_id"])
    assert all(1 <= row["category_id"] <= 5 for row in outcome.rows)


def test_damaged_picture_is_reported_and_skipped(make_pictures, make_job, tmp_path, capsys):
    folder = make_pictures("a.png", "c.png")
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:500])
    outcome = segment(folder, tmp_path / "out", make_job())
    assert outcome.num_done == 2 and len(outcome.failures) == 1
    assert "b.png" in outcome.failures[0]
    said = [line for line in capsys.readouterr().err.splitlines() if "skipped" in line]
    assert len(said) == 1 and "b.png" in said[0]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]


def test_only_damaged_pictures(make_pictures, make_job, tmp_path):
    folder = make_pictures()
    folder.mkdir()
    (folder / "a.png").write_text("no picture")
    outcome = segment(folder, tmp_path / "out", make_job())
    assert (outcome.num_done, len(outcome.failures), outcome.rows) == (0, 1, [])


def test_score_threshold(make_pictures, make_job, tmp_path):
    outcome = segment(make_pictures("a.png"), tmp_path / "out", make_job(score_threshold=0.9))
    assert (outcome.num_done, outcome.rows) == (1, [])


def test_two_processes_do_what_one_does(make_pictures, make_job, tmp_path):
    folder = make_pictures("a.png", "b.png", "c.png")
    (folder / "d.png").write_text("no picture")
    alone = segment(folder, tmp_path / "one", make_job())
    split = segment(folder, tmp_path / "two", make_job(), ["cpu", "cpu"])
    assert split.num_done == 3 and split.failures == alone.failures
    for one, other in zip(alone.rows, split.rows, strict=True):
        # Other neighbors in a batch change a score by a rounding error.
        assert one.pop("score") == pytest.approx(other.pop("score"), abs=1e-6)
        assert one == other
    assert len(list((tmp_path / "two").iterdir())) == 3


def test_bad_weights_end_the_run(make_pictures, make_job, tmp_path):
    with pytest.raises(InputError, match="gone"):
        segment(make_pictures("a.png"), tmp_path, make_job(["MODEL.WEIGHTS", "gone.pth"]))
