"""The modules that only start something: ``python -m solo_d2`` and ``python -m solo_d2.environment``."""

import sys

import pytest

from solo_d2 import __main__, environment


def test_environment_report(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["solo_d2.environment"])
    environment.main()
    lines = capsys.readouterr().out.splitlines()
    assert {"detectron2", "torch", "solo_d2.ops"} <= {line.split()[0] for line in lines if line}


def test_console_script_lists_the_commands(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["solo-d2", "--help"])
    __main__.console_script()
    text = capsys.readouterr().out
    assert all(name in text for name in ("train", "eval", "predict", "convert", "analyze", "data", "env"))


def test_console_script_refuses_an_unknown_command(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["solo-d2", "trian"])
    with pytest.raises(SystemExit) as stop:
        __main__.console_script()
    assert stop.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
