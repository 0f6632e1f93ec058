import importlib.util
import sys
from pathlib import Path

import pytest

from solo_d2.engine.cli import run_cli

TOOL = Path(__file__).resolve().parents[2] / "tools" / "make_scenes.py"


@pytest.fixture
def run(monkeypatch):
    spec = importlib.util.spec_from_file_location("make_scenes_under_test", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", [str(TOOL), *arguments])
        run_cli(tool.main)

    return call


def test_makes_reuses_and_refuses(run, tmp_path, capsys):
    arguments = ["--output", str(tmp_path / "s"), "--num-train", "3", "--num-val", "2", "--size", "64"]
    run(*arguments)
    assert len(list((tmp_path / "s" / "train" / "images").iterdir())) == 3
    run(*arguments)
    with pytest.raises(SystemExit) as info:
        run(*arguments, "--seed", "4")
    error = capsys.readouterr().err
    assert info.value.code == 2 and "holds other scenes" in error and "Traceback" not in error


def test_unknown_flag_is_one_line(run, capsys):
    with pytest.raises(SystemExit) as info:
        run("--outptu", "x")
    assert info.value.code == 2 and capsys.readouterr().err.count("\n") == 1
