"""The kernels that are registered, and what happens without a binary."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from solo_d2.ops import load_extension
from solo_d2.ops._extension import OPERATORS, active_kernels

PACKAGE = Path(__file__).resolve().parents[2] / "solo_d2"


@pytest.mark.skipif(load_extension() != "", reason="the compiled kernels are not built")
def test_kernels_are_registered():
    assert all(active_kernels(operator)["cpu"] == "compiled" for operator in OPERATORS)


def run_copy(folder: Path):
    """The report of a copy of the package; its log goes to standard error."""
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    code = (
        "import logging, runpy; logging.basicConfig(level=logging.INFO);"
        "runpy.run_module('solo_d2.ops', run_name='__main__', alter_sys=True)"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "solo_d2", ignore=shutil.ignore_patterns("_C*", "__pycache__"))
    return tmp_path


def test_references_run_without_a_binary(copy):
    done = run_copy(copy)
    assert done.returncode == 0, done.stderr
    assert "cpu: reference" in done.stdout and "self-check: passed" in done.stdout
    assert done.stderr.count("PyTorch reference") == 1 and "not built" in done.stderr


def test_references_run_beside_a_binary_that_does_not_fit(copy):
    (copy / "solo_d2" / "_C.so").write_bytes(b"not a library")
    done = run_copy(copy)
    assert done.returncode == 0, done.stderr
    assert "cpu: reference" in done.stdout and "self-check: passed" in done.stdout
    assert "_C.so does not fit torch" in done.stderr
