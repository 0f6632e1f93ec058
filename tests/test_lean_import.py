"""``import solo_d2`` starts no CUDA and drags in nothing that only drawing or logging needs."""

import ast
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "solo_d2"
HEAVY = ("torchvision", "matplotlib", "tensorboard")
# The compiled module that only the real Detectron2 has.
IS_REAL = importlib.util.find_spec("detectron2._C") is not None


def run_python(code: str):
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def after_import() -> dict:
    return run_python(
        "import json, sys, solo_d2, torch\n"
        "print(json.dumps({'modules': sorted(sys.modules), 'cuda': torch.cuda.is_initialized()}))"
    )


def test_import_does_not_start_cuda(after_import):
    assert not after_import["cuda"]


@pytest.mark.skipif(IS_REAL, reason="the real Detectron2 imports fvcore.nn itself")
def test_import_compiles_no_scripts(after_import):
    """``fvcore.nn`` compiles scripts when it is imported, of which torch 2.15 warns at every start."""
    assert "fvcore.nn" not in after_import["modules"]


def test_import_is_lean(after_import):
    """The real Detectron2 imports torchvision itself: only what solo_d2 adds to it counts."""
    alone = []
    if IS_REAL:
        parts = [name for name in after_import["modules"] if name.startswith("detectron2")]
        alone = run_python(
            f"import importlib, json, sys\nfor name in {parts!r}: importlib.import_module(name)\n"
            "print(json.dumps(sorted(sys.modules)))"
        )
    added = set(after_import["modules"]) - set(alone)
    assert not added & set(HEAVY)


def test_library_files_import_heavy_packages_only_where_used():
    """At the top of no file; inside functions only tensorboard and matplotlib may appear."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in names} & set(HEAVY), path


def test_public_names():
    exported = run_python("import json, solo_d2\nprint(json.dumps([solo_d2.Predictor.__name__]))")
    assert exported == ["Predictor"]
