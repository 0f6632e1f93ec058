"""Tools as a user calls them."""

import importlib.util
import sys
from pathlib import Path

import pytest

from solo_d2.engine.cli import run_cli

TOOLS = Path(__file__).resolve().parents[2] / "tools"


def load_tool(name: str):
    """Imports ``tools/<name>.py``."""
    spec = importlib.util.spec_from_file_location(f"{name}_under_test", TOOLS / f"{name}.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


@pytest.fixture(scope="module")
def tool(request):
    """The tool that the test module ``test_<name>.py`` is about."""
    return load_tool(Path(request.path).stem.removeprefix("test_"))


@pytest.fixture
def run_tool(monkeypatch):
    """``run_tool("make_scenes", "--size", 64)`` runs ``tools/make_scenes.py`` in this process."""

    def run(name, *arguments):
        tool = load_tool(name)
        monkeypatch.setattr(sys, "argv", [tool.__file__, *map(str, arguments)])
        run_cli(tool.main)

    return run
