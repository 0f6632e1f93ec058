"""solo-d2 visualize labels: one picture per image."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def make_labels(tmp_path):
    """``make_labels(names)`` writes images below images/ and a file that lists them."""
    (tmp_path / "images" / "sub").mkdir(parents=True)

    def make(names):
        for name in names:
            Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(tmp_path / "images" / name)
        images = [{"id": index, "file_name": str(name)} for index, name in enumerate(names)]
        path = tmp_path / "labels.json"
        path.write_text(json.dumps({"images": images, "annotations": []}))
        return path

    return make


@pytest.fixture
def labels(make_labels):
    return make_labels(["a.png", "sub/b.png"])


def test_pictures_of_several_files(run_command, labels, tmp_path):
    flags = ["--images", tmp_path / "images", "--output", tmp_path / "out"]
    run_command("visualize labels", "--labels", labels, labels, *flags)
    assert Image.open(tmp_path / "out" / "a.png.jpg").width > 3 * 30
    assert (tmp_path / "out" / "sub" / "b.png.jpg").is_file()


def test_pictures_stay_below_the_output_and_apart(run_command, make_labels, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["a.png", "a.jpg", "../up.jpg", tmp_path / "absolute.jpg"]
    labels = make_labels(names)
    before = [(tmp_path / "images" / name).read_bytes() for name in names]
    run_command(
        "visualize labels", "--labels", labels, "--images", labels.parent / "images", "--output", "out"
    )
    assert [(tmp_path / "images" / name).read_bytes() for name in names] == before
    found = sorted(path.relative_to("out") for path in Path("out").rglob("*.jpg"))
    absolute = Path("__", *(tmp_path / "absolute.jpg.jpg").parts[1:])
    assert found == sorted([Path("a.png.jpg"), Path("a.jpg.jpg"), Path("__/up.jpg.jpg"), absolute])


def test_no_image_is_overwritten(run_command, make_labels, tmp_path, capsys):
    labels, images = make_labels(["a.png", "a.png.jpg"]), tmp_path / "images"
    before = (images / "a.png.jpg").read_bytes()
    with pytest.raises(SystemExit):
        run_command("visualize labels", "--labels", labels, "--images", images, "--output", images)
    assert "would overwrite an input" in capsys.readouterr().err
    assert (images / "a.png.jpg").read_bytes() == before


def test_mistakes_are_one_line(run_command, labels, tmp_path, capsys):
    for more in (["--limit", "0"], ["--labels", tmp_path / "gone.json"]):
        with pytest.raises(SystemExit) as info:
            run_command("visualize labels", "--labels", labels, "--images", tmp_path / "images", *more)
        assert info.value.code == 2 and capsys.readouterr().err.count("\n") == 1
