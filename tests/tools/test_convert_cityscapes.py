import importlib.util
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from solo_d2.engine.cli import run_cli

TOOL = Path(__file__).resolve().parents[2] / "tools" / "convert_cityscapes.py"


@pytest.fixture
def run(monkeypatch):
    spec = importlib.util.spec_from_file_location("convert_cityscapes_under_test", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, arguments)])
        run_cli(tool.main)

    return call


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
