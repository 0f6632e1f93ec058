"""The installed wheel, used from another folder than the repository."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from solo_d2.scenes import generate_scenes

ROOT = Path(__file__).resolve().parents[1]
SMALL = (
    "INPUT.MIN_SIZE_TRAIN (64,) INPUT.MIN_SIZE_TEST 64 SOLVER.IMS_PER_BATCH 2 SOLVER.MAX_ITER 2 "
    "DATALOADER.NUM_WORKERS 0 TEST.VIS_IMAGES 0 OUTPUT_DIR out"
).split()

BUILD = "import sys; sys.path.insert(0, '.'); from setuptools import build_meta; build_meta.build_wheel('.')"
# What pip writes into the file bin/solo-d2.
CONSOLE_SCRIPT = "import sys; from solo_d2.__main__ import console_script; sys.exit(console_script())"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The wheel, unpacked as pip unpacks it, from a copy of the tracked sources; without kernels."""
    pytest.importorskip("setuptools")
    root = tmp_path_factory.mktemp("installation")
    source, site = root / "source", root / "site"
    for name in ("solo_d2", "configs", "setup.py", "pyproject.toml", "README.md"):
        listing = subprocess.run(["git", "ls-files", "-z", name], cwd=ROOT, capture_output=True, text=True)
        for path in filter(None, listing.stdout.split("\0")):
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_bytes((ROOT / path).read_bytes())
    if not source.exists():
        pytest.skip("the sources are not a git checkout")
    # Without torch at hand, setup.py builds no kernels, which would take minutes.
    (source / "torch.py").write_text("raise ImportError('not in this build')\n")
    built = subprocess.run([sys.executable, "-c", BUILD], cwd=source, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-2000:]
    zipfile.ZipFile(next(source.glob("*.whl"))).extractall(site)
    return site


@pytest.fixture
def run(site, tmp_path):
    """``run(*words)`` runs the installed ``solo-d2`` in a fresh folder and returns what it prints."""
    import detectron2

    provider = str(Path(detectron2.__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), provider])}
    environment["OMP_NUM_THREADS"] = "1"

    def run_(*words):
        command = [sys.executable, "-W", "ignore", "-c", CONSOLE_SCRIPT, *map(str, words)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run_


def test_wheel_has_the_console_script_and_the_configs(site):
    (entry_points,) = site.glob("*.dist-info/entry_points.txt")
    assert "solo-d2 = solo_d2.__main__:console_script" in entry_points.read_text()
    assert (site / "solo_d2" / "model_zoo" / "configs" / "quick" / "solov2_tiny.yaml").is_file()


def test_train_evaluate_and_predict(run, site, tmp_path):
    generate_scenes(tmp_path / "datasets" / "scenes", num_train=4, num_val=2, size=64, workers=0)
    run("train", "--config-file", "quick/solov2_tiny", *SMALL)
    weights = ["MODEL.WEIGHTS", "out/model_final.pth"]
    (tmp_path / "out" / "evaluation.json").unlink()
    run("eval", "--config-file", "out/config.yaml", *weights)
    assert "segm/AP" in json.loads((tmp_path / "out" / "evaluation.json").read_text())
    images = tmp_path / "datasets" / "scenes" / "val" / "images"
    said = run("predict", "--config-file", "quick/solov2_tiny", "--input", images, "--opts", *weights)
    assert "2 picture(s) segmented -> output/demo_results" in said
    found = run("env")
    assert str(site) not in found and "PyTorch references" in found  # no kernels in this wheel


def test_other_commands(run, tmp_path):
    sizes = ["--num-train", 2, "--num-val", 1, "--size", 64]
    run("data", "scenes", *sizes, "--workers", 1, "--output", "scenes")
    flags = ["--json", "scenes/instances_train.json", "--images", "scenes/train/images"]
    assert "INPUT" in run("analyze", "dataset", *flags)
    assert "usage:" in run("freesolo", "--help") and "usage:" in run("convert", "--help")
