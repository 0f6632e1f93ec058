"""The environment report, on made-up installations and on the real one."""

import subprocess
import sys
from pathlib import Path

import pytest

from solo_d2.commands.env import detectron2_copies, mixture, report


def make_copy(root: Path, lite: bool = False, real: bool = False) -> str:
    folder = root / "detectron2"
    folder.mkdir(parents=True)
    version = '"""d2lite"""\n__version__ = "0.6+d2lite.1"' if lite else '__version__ = "0.6"'
    (folder / "__init__.py").write_text(version)
    if real:
        (folder / "modeling" / "roi_heads").mkdir(parents=True)
    return str(root)


def test_one_copy_of_either_kind(tmp_path):
    (lite,) = detectron2_copies([make_copy(tmp_path / "a", lite=True)])
    assert (lite.kind, lite.version) == ("d2lite", "0.6+d2lite.1")
    (real,) = detectron2_copies([make_copy(tmp_path / "b", real=True)])
    assert (real.kind, real.version) == ("Detectron2", "0.6")
    assert mixture([lite], ["d2lite 0.1"]) == mixture([real], []) == ""
    assert detectron2_copies([str(tmp_path)]) == []


def test_same_folder_twice_is_one_copy(tmp_path):
    place = make_copy(tmp_path / "a", lite=True)
    assert len(detectron2_copies([place, place])) == 1


@pytest.mark.parametrize("distributions", [[], ["d2lite 0.1", "detectron2 0.6"]])
def test_mixture_in_one_folder(tmp_path, distributions):
    copies = detectron2_copies([make_copy(tmp_path / "a", lite=True, real=True)])
    assert "mixed" in copies[0].kind
    line = mixture(copies, distributions)
    assert line.startswith("MIXTURE") and "pip uninstall" in line and "\n" not in line


def test_one_copy_hides_the_other(tmp_path):
    places = [make_copy(tmp_path / "a", lite=True), make_copy(tmp_path / "b", real=True)]
    assert str(tmp_path / "b") in mixture(detectron2_copies(places), ["detectron2 0.6"])


def test_report_of_this_environment():
    rows = dict(report())
    assert rows["detectron2"].startswith(("d2lite", "Detectron2"))
    assert {"python", "torch", "numpy", "pycocotools", "CUDA of torch", "solo_d2.ops"} <= set(rows)
    assert ("GPU" in rows) != ("GPU 0" in rows)


def test_command_prints_the_report():
    command = [sys.executable, "-W", "ignore", "-m", "solo_d2.environment"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "detectron2" in done.stdout and "torch" in done.stdout
