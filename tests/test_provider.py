"""Without Detectron2, every way to start the package ends in one line that says what to install."""

import subprocess
import sys
from pathlib import Path

import pytest

from solo_d2 import provider

ROOT = Path(__file__).resolve().parents[1]
HIDE = "import runpy, sys; sys.modules['detectron2'] = None; sys.argv[0] = sys.argv[1]; "
STARTS = {
    "import": "import solo_d2",
    "a module below": "from solo_d2.ops import mask_iou",
    "console script": "from solo_d2.__main__ import console_script; console_script()",
    "python -m": "runpy.run_module('solo_d2', run_name='__main__')",
    "train_net.py": f"runpy.run_path({str(ROOT / 'train_net.py')!r}, run_name='__main__')",
}


@pytest.mark.parametrize("code", STARTS.values(), ids=STARTS)
def test_one_line(code, tmp_path):
    command = [sys.executable, "-c", f"{HIDE}sys.path.insert(0, {str(ROOT)!r}); {code}", "solo-d2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and not done.stdout
    (line,) = done.stderr.splitlines()
    assert 'pip install "solo_d2[lite]"' in line and "git+https://github.com/" in line


def test_a_folder_without_the_package_is_none(tmp_path, monkeypatch):
    """As in the folder above a clone of Detectron2."""
    (tmp_path / "detectron2").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "meta_path", [f for f in sys.meta_path if "editable" not in repr(f).lower()])
    monkeypatch.delitem(sys.modules, "detectron2")
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with pytest.raises(ImportError, match="needs Detectron2") as error:
        provider.require_detectron2()
    assert error.value.name == "detectron2"


def test_other_errors_keep_their_traceback(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "excepthook", lambda *error: seen.append(error))
    monkeypatch.setitem(sys.modules, "detectron2", None)
    with pytest.raises(provider.MissingDetectron2):
        provider.require_detectron2()
    error = ValueError("x")
    sys.excepthook(ValueError, error, None)
    assert seen == [(ValueError, error, None)]
