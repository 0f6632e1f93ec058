"""Tools as a user calls them."""

import importlib.util
import sys
from pathlib import Path

import pytest

from solo_d2.engine.cli import run_cli

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def run_tool(monkeypatch):
    """``run_tool("make_scenes", "--size", 64)`` runs ``tools/make_scenes.py`` in this process."""

    def run(name, *arguments):
        path = TOOLS / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"{name}_under_test", path)
        tool = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tool)
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        run_cli(tool.main)

    return run
