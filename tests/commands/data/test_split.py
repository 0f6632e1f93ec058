import json
from functools import partial

import pytest

from solo_d2.data.datasets.coco_format import read_coco
from solo_d2.scenes import generate_scenes


@pytest.fixture
def run(run_command):
    return partial(run_command, "data split")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return generate_scenes(tmp_path_factory.mktemp("split") / "scenes", 10, 1, size=64, workers=1)


@pytest.mark.parametrize("by", ["images", "masks"])
def test_part_is_usable_as_it_is(run, scenes, tmp_path, capsys, by):
    output = tmp_path / "parts" / "part.json"
    run("--json", scenes / "instances_train.json", "--by", by, "--fraction", 0.3, "--output", output)
    content = json.loads(output.read_text())
    assert len(content["images"]) == (3 if by == "images" else 10)
    assert f"{len(content['images'])} of 10 images" in capsys.readouterr().out
    cleaned, findings = read_coco(output, scenes / "train" / "images")
    assert not findings and len(cleaned["annotations"]) == len(content["annotations"])
    assert any(a.get("mask_withheld") for a in content["annotations"]) == (by == "masks")


def test_mistakes_are_one_line(run, scenes, tmp_path, capsys):
    source = scenes / "instances_train.json"
    wrong = [("gone.json", 0.1, "does not exist"), (source, 5, "--fraction: 5.0: it must be 0 to 1")]
    for json_file, fraction, line in wrong:
        with pytest.raises(SystemExit) as info:
            run(
                "--json", json_file, "--by", "images", "--fraction", fraction, "--output", tmp_path / "x.json"
            )
        error = capsys.readouterr().err
        assert info.value.code == 2 and line in error and error.count("\n") == 1
    assert not (tmp_path / "x.json").exists()


def test_the_whole_is_not_overwritten_by_its_part(run, scenes, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(scenes)
    before = (scenes / "instances_train.json").read_bytes()
    for output, line in [(scenes / "instances_train.json", "name another file"), (tmp_path, "end in .json")]:
        with pytest.raises(SystemExit) as info:
            run("--json", "instances_train.json", "--by", "images", "--fraction", 0.5, "--output", output)
        error = capsys.readouterr().err
        assert info.value.code == 2 and line in error and error.count("\n") == 1
    assert (scenes / "instances_train.json").read_bytes() == before
