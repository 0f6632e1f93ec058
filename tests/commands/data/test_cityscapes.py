from functools import partial

import cv2
import numpy as np
import pytest


@pytest.fixture
def run(run_command):
    return partial(run_command, "data cityscapes")


def test_writes_the_wanted_splits(run, tmp_path):
    for folder, suffix in (("gtFine", "gtFine_instanceIds"), ("leftImg8bit", "leftImg8bit")):
        path = tmp_path / folder / "val" / "ulm"
        path.mkdir(parents=True)
        cv2.imwrite(str(path / f"ulm_000000_000019_{suffix}.png"), np.full((8, 8), 26001, np.uint16))
    run("--root", tmp_path, "--splits", "val", "--workers", "1")
    assert [p.name for p in (tmp_path / "annotations").iterdir()] == ["instances_val.json"]


def test_missing_files_are_one_line(run, tmp_path, capsys):
    with pytest.raises(SystemExit) as info:
        run("--root", tmp_path)
    error = capsys.readouterr().err
    assert info.value.code == 2 and "unpack" in error and error.count("\n") == 1
