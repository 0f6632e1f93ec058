"""The installed wheel, used from another folder than the repository."""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from solo_d2.commands.dispatch import COMMANDS
from solo_d2.scenes import generate_scenes

ROOT = Path(__file__).resolve().parents[1]
SMALL = (
    "INPUT.MIN_SIZE_TRAIN (64,) INPUT.MIN_SIZE_TEST 64 SOLVER.IMS_PER_BATCH 2 SOLVER.MAX_ITER 2 "
    "DATALOADER.NUM_WORKERS 0 TEST.VIS_IMAGES 0 OUTPUT_DIR out"
).split()

MAX_LINES_BEFORE_A_STEP = 3
BUILD = "import sys; sys.path.insert(0, '.'); from setuptools import build_meta; build_meta.build_wheel('.')"
# What pip writes into the file bin/solo-d2.
CONSOLE_SCRIPT = "import sys; from solo_d2.__main__ import console_script; sys.exit(console_script())"
# Many command lines, in one process, which saves the imports of all but one.
ONE_BY_ONE = """
import json, sys
from solo_d2.__main__ import console_script
for words in json.load(open(sys.argv[1])):
    sys.argv = ["solo-d2", *words]
    console_script()
    print(f"\\ndone: {words}", flush=True)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The wheel, unpacked as pip unpacks it, from a copy of the tracked sources; without kernels."""
    pytest.importorskip("setuptools")
    root = tmp_path_factory.mktemp("installation")
    source, site = root / "source", root / "site"
    for name in ("solo_d2", "configs", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
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
    """``run(*words)`` runs the installed ``solo-d2`` in a fresh folder and returns what it prints.

    ``code=2`` is for a command that ends with that code and one line.
    """
    import detectron2

    provider = str(Path(detectron2.__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), provider])}
    environment["OMP_NUM_THREADS"] = "1"

    def run_(*words, code=0, program=CONSOLE_SCRIPT):
        command = [sys.executable, "-W", "ignore", "-c", program, *map(str, words)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == code, done.stderr[-3000:]
        assert not code or len(done.stderr.splitlines()) == 1, done.stderr[-3000:]
        return done.stderr if code else done.stdout

    return run_


def test_wheel_has_the_console_script_and_the_configs(site):
    (entry_points,) = site.glob("*.dist-info/entry_points.txt")
    assert "solo-d2 = solo_d2.__main__:console_script" in entry_points.read_text()
    assert (site / "solo_d2" / "model_zoo" / "configs" / "quick" / "solov2_tiny.yaml").is_file()


def test_train_evaluate_and_predict(run, site, tmp_path):
    generate_scenes(tmp_path / "datasets" / "scenes", num_train=4, num_val=2, size=64, workers=0)
    lines = run("train", "--config-file", "quick/solov2_tiny", *SMALL).splitlines()
    first = next(index for index, line in enumerate(lines) if "total_loss" in line)
    assert first <= MAX_LINES_BEFORE_A_STEP, lines[:first]
    weights = ["MODEL.WEIGHTS", "out/model_final.pth"]
    (tmp_path / "out" / "evaluation.json").unlink()
    run("eval", "--config-file", "out/config.yaml", *weights)
    assert "segm/AP" in json.loads((tmp_path / "out" / "evaluation.json").read_text())
    images = tmp_path / "datasets" / "scenes" / "val" / "images"
    said = run("predict", "--config-file", "quick/solov2_tiny", "--input", images, "--opts", *weights)
    assert "2 picture(s) segmented -> output/demo_results" in said
    found = run("env")
    assert str(site) not in found and "PyTorch references" in found  # no kernels in this wheel


def test_wheel_says_what_it_is(site):
    (info,) = site.glob("*.dist-info")
    assert (info / "licenses" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert (site / "solo_d2" / "py.typed").is_file()
    assert (site / "solo_d2" / "model_zoo" / "models.json").is_file()
    text = (info / "METADATA").read_text()
    for line in ("License-Expression: Apache-2.0", "Classifier: Typing :: Typed", "Provides-Extra: lite"):
        assert f"\n{line}\n" in text, line


def test_other_commands(run, tmp_path):
    sizes = ["--num-train", 2, "--num-val", 1, "--size", 64]
    run("data", "scenes", *sizes, "--workers", 1, "--output", "scenes")
    flags = ["--json", "scenes/instances_train.json", "--images", "scenes/train/images"]
    assert "INPUT" in run("analyze", "dataset", *flags)
    assert "usage:" in run("freesolo", "--help") and "usage:" in run("convert", "--help")


TINY, DATA = "quick/solov2_tiny", "datasets/scenes"
IMAGES, TRAIN_JSON = f"{DATA}/train/images", f"{DATA}/instances_train.json"
MODEL = ["--config-file", "out/config.yaml"]
WEIGHTS = ["MODEL.WEIGHTS", "out/model_final.pth"]
RESULTS = "out/inference/coco_instances_results.json"
KEEP_ALL = ["MODEL.SOLOV2.SCORE_THR", 0.0, "MODEL.SOLOV2.UPDATE_THR", 0.0, "MODEL.SOLOV2.MASK_THR", 0.1]
DENSECL = (
    "INPUT.VIEWS.SIZE 32 SOLVER.IMS_PER_BATCH 4 SOLVER.MAX_ITER 2 DATALOADER.NUM_WORKERS 0 OUTPUT_DIR pre "
    "MODEL.DENSECL.HIDDEN_DIM 16 MODEL.DENSECL.FEAT_DIM 8 MODEL.DENSECL.QUEUE_SIZE 12"
).split()
FREE_MASK = ["INPUT.MIN_SIZE_TEST", 64, "MODEL.FREE_MASK.MASKNESS_THR", 0.3]
# Each command as a user runs it after the ones before.
STEPS = [
    ("data scenes", "--num-train", 6, "--num-val", 2, "--size", 64, "--workers", 1),
    ("data split", "--json", TRAIN_JSON, "--output", "part.json", "--by", "images", "--fraction", 0.5),
    ("analyze dataset", "--json", TRAIN_JSON, "--images", IMAGES),
    ("visualize labels", "--labels", TRAIN_JSON, "--images", IMAGES),
    ("train", "--config-file", TINY, *SMALL, *KEEP_ALL),
    ("eval", *MODEL, *WEIGHTS),
    ("analyze errors", "--json", f"{DATA}/instances_val.json", "--results", RESULTS),
    ("predict", *MODEL, "--input", f"{DATA}/val/images", "--opts", *WEIGHTS),
    ("convert", "--input", "out/model_final.pth", "--output", "model.safetensors", *MODEL),
    ("visualize activations", *MODEL, "--input", f"{IMAGES}/000001.png", "--opts", *WEIGHTS),
    ("labels self-training", *MODEL, "--images", IMAGES, "--output", "labels.json", "--opts", *WEIGHTS),
    ("train", "--config-file", "quick/densecl_tiny", "--train-unlabelled", IMAGES, *DENSECL),
    ("export backbone", "--weights", "pre/model_final.pth", "--output", "backbone.pth"),
    ("visualize correspondences", "--config-file", "pre/config.yaml", "--input", f"{IMAGES}/000001.png",
     "--opts", "MODEL.WEIGHTS", "pre/model_final.pth"),
    ("labels free-mask", "--config-file", "quick/free_mask_tiny", "--images", IMAGES,
     "--output", "masks.json", "--opts", "MODEL.WEIGHTS", "backbone.pth", *FREE_MASK),
    ("freesolo", "--images", IMAGES, "--backbone", "backbone.pth", "--until", "masks",
     "--free-mask-opts", *FREE_MASK),
    ("photos", "--data", DATA, "--minutes", 1, "MODEL.WEIGHTS", "", "SOLVER.MAX_MINUTES", 0, *SMALL[:-2]),
    ("data check-panoptic", "--json", "panoptic.json", "--panoptic", "png", "--images", "images"),
    ("data semantic-maps", "--json", "panoptic.json", "--panoptic", "png", "--output", "maps"),
    ("data cityscapes", "--root", "cityscapes", "--splits", "val", "--workers", 1),
    ("zoo list", "R50"),
    ("zoo show", "mmdet/solov2_R50_3x"),
    ("env",),
]  # fmt: skip
# Needs the network, or packages of an extra.
REFUSED = {
    ("zoo download", "mmdet/no_such_model"): "there is no published model",
    ("export", *MODEL, "--output", "model.onnx", *WEIGHTS): "solo_d2[export]",
}


@pytest.mark.slow
def test_every_command(run, panoptic_set, tmp_path):
    assert {step[0] for step in [*STEPS, *REFUSED]} == COMMANDS.keys()
    Path(panoptic_set.json).rename(tmp_path / "panoptic.json")
    for folder, suffix in (("gtFine", "gtFine_instanceIds"), ("leftImg8bit", "leftImg8bit")):
        path = tmp_path / "cityscapes" / folder / "val" / "ulm" / f"ulm_000000_000019_{suffix}.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(np.full((8, 8), 26001, np.uint16)).save(path)
    lines = [[*name.split(), *map(str, words)] for name, *words in STEPS]
    (tmp_path / "lines.json").write_text(json.dumps(lines))
    said = run("lines.json", program=ONE_BY_ONE)
    assert said.count("\ndone: ") == len(lines)
    for (name, *words), message in REFUSED.items():
        if name == "export" and importlib.util.find_spec("onnxscript"):
            run(*name.split(), *words)
        else:
            assert message in run(*name.split(), *words, code=2)
