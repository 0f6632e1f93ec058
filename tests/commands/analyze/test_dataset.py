from functools import partial

import pytest
import yaml

from solo_d2.scenes import generate_scenes


@pytest.fixture
def run(run_command):
    return partial(run_command, "analyze dataset")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = generate_scenes(tmp_path_factory.mktemp("analyze") / "scenes", 10, 1, size=64, workers=1)
    return ["--json", str(root / "instances_train.json"), "--images", str(root / "train" / "images")]


def test_prints_a_report_with_yaml(run, files, capsys):
    run(*files, "--levels", "4")
    text = capsys.readouterr().out
    assert "10 images (median 64 x 64)" in text
    snippet = yaml.safe_load(text[text.index("MODEL:") :])
    assert len(snippet["MODEL"]["SOLOV2"]["NUM_GRIDS"]) == 4


def test_mistakes_are_one_line(run, files, capsys):
    for arguments, line in [
        ([*files, "--levels", "6"], "1 to 5"),
        ([*files, "--min-size", "0"], "at least 1"),
        (["--json", "nowhere.json", "--images", "."], "does not exist"),
    ]:
        with pytest.raises(SystemExit) as info:
            run(*arguments)
        error = capsys.readouterr().err
        assert info.value.code == 2 and line in error and error.count("\n") == 1
