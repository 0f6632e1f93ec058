"""tools/visualize_labels.py: one picture per image."""

import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def labels(tmp_path):
    (tmp_path / "images" / "sub").mkdir(parents=True)
    names = ["a.png", "sub/b.png"]
    for name in names:
        Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(tmp_path / "images" / name)
    images = [{"id": index, "file_name": name} for index, name in enumerate(names)]
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"images": images, "annotations": []}))
    return path


def test_pictures_of_several_files(run_tool, labels, tmp_path):
    flags = ["--images", tmp_path / "images", "--output", tmp_path / "out"]
    run_tool("visualize_labels", "--labels", labels, labels, *flags)
    assert Image.open(tmp_path / "out" / "a.jpg").width > 3 * 30
    assert (tmp_path / "out" / "sub" / "b.jpg").is_file()


def test_mistakes_are_one_line(run_tool, labels, tmp_path, capsys):
    for more in (["--limit", "0"], ["--labels", tmp_path / "gone.json"]):
        with pytest.raises(SystemExit) as info:
            run_tool("visualize_labels", "--labels", labels, "--images", tmp_path / "images", *more)
        assert info.value.code == 2 and capsys.readouterr().err.count("\n") == 1
