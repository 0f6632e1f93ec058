from functools import partial

import pytest


@pytest.fixture
def run(run_command):
    return partial(run_command, "data scenes")


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
