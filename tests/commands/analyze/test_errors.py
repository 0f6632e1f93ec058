import json
from functools import partial

import pytest

from solo_d2.scenes import generate_scenes


@pytest.fixture
def run(run_command):
    return partial(run_command, "analyze errors")


def test_table_and_file(run, tmp_path, capsys):
    truth = generate_scenes(tmp_path / "scenes", 1, 4, size=64, workers=1) / "instances_val.json"
    annotations = json.loads(truth.read_text())["annotations"]
    keys = ("image_id", "category_id", "segmentation")
    results = [{"score": 0.9, **{key: annotation[key] for key in keys}} for annotation in annotations]
    for result in results:
        result["category_id"] = 1
    (tmp_path / "results.json").write_text(json.dumps(results))
    run("--json", truth, "--results", tmp_path / "results.json", "--output", tmp_path / "out" / "errors.json")
    printed = capsys.readouterr().out
    assert "true classes" in printed
    assert f"0 of {len(results)} masks with a score of 0.5 or more (0.0%) contain" in printed
    written = json.loads((tmp_path / "out" / "errors.json").read_text())
    assert (written["spanning masks/count"], written["spanning masks/of"]) == (0, len(results))
    assert written["true classes/AP"] == pytest.approx(100) and written["predictions/AP"] < 50


def test_missing_file_is_one_line(run, capsys):
    with pytest.raises(SystemExit) as info:
        run("--json", "gone.json", "--results", "gone.json")
    error = capsys.readouterr().err
    assert info.value.code == 2 and "gone.json does not exist" in error and error.count("\n") == 1
