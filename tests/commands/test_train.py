"""Whole runs of train_net.py and ``python -m solo_d2`` as a user makes them, each in a process of its own."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from solo_d2.commands.train import build_parser
from solo_d2.engine.run import loggable
from solo_d2.engine.run_config import read_cfg
from solo_d2.scenes import generate_scenes

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "configs" / "quick" / "solov2_tiny.yaml")
SMALL = (
    "INPUT.MIN_SIZE_TRAIN (64,) INPUT.MIN_SIZE_TEST 64 SOLVER.IMS_PER_BATCH 2 SOLVER.WARMUP_ITERS 0 "
    "DATALOADER.NUM_WORKERS 0 TEST.VIS_IMAGES 1"
).split()

# Trains 6 iterations; then again in another folder, where it kills itself (kill -9) after the
# fourth; "resume" continues that run. Every iteration's total loss goes to losses.txt.
KILLED_RUN = """
import os, signal, sys
import torch
from detectron2.engine import HookBase
import solo_d2
from solo_d2.engine.run_config import build_cfg, build_parser
from solo_d2.engine.trainer import Trainer

folder, mode, *options = sys.argv[1:]


def train(name, kill_after=None):
    out = os.path.join(folder, name)
    os.makedirs(out, exist_ok=True)
    cfg = build_cfg(build_parser().parse_args([*options, "OUTPUT_DIR", out]))
    torch.manual_seed(0)
    trainer = Trainer(cfg)
    losses = open(os.path.join(out, "losses.txt"), "a")

    class Recorder(HookBase):
        def after_step(self):
            loss = trainer.storage.latest()["total_loss"][0]
            print(trainer.iter, loss.hex(), file=losses, flush=True)
            if trainer.iter == kill_after:
                os.kill(os.getpid(), signal.SIGKILL)

    trainer.register_hooks([Recorder()])
    trainer.resume_or_load(resume=mode == "resume")
    trainer.train()


if mode == "start":
    train("whole")
train("killed", kill_after=3 if mode == "start" else None)
"""


def environment(**more):
    inherited = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    paths = [str(ROOT), *inherited]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", **more}


def run(*command, cwd=None, **more):
    arguments = [sys.executable, *map(str, command)]
    return subprocess.run(
        arguments, env=environment(**more), cwd=cwd, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """The folder to set DETECTRON2_DATASETS to."""
    root = tmp_path_factory.mktemp("datasets")
    generate_scenes(root / "scenes", num_train=6, num_val=2, size=64, workers=0)
    return root


def own_data(scenes):
    root = scenes / "scenes"
    return [
        "--train-json", root / "instances_train.json", "--train-images", root / "train" / "images",
        "--val-json", root / "instances_val.json", "--val-images", root / "val" / "images",
    ]  # fmt: skip


def test_own_data_from_training_to_evaluation(scenes, tmp_path):
    out = tmp_path / "out"
    flags = ["--config-file", CONFIG, *own_data(scenes)]
    options = [*SMALL, "OUTPUT_DIR", out, "SOLVER.MAX_ITER", 4, "SOLVER.EMA.ENABLED", "True"]
    options += ["SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.PRECISION", "bfloat16"]
    options += ["MODEL.SOLOV2.SCORE_THR", 0.0, "MODEL.SOLOV2.UPDATE_THR", 0.0]
    options += ["MODEL.SOLOV2.MASK_THR", 0.1, "SEED", 1]
    trained = run(ROOT / "train_net.py", *flags, "--num-gpus", 2, *options)
    assert trained.returncode == 0, trained.stderr[-3000:]
    results = json.loads((out / "evaluation.json").read_text())
    assert {"segm/AP", "segm/AP50", "bbox/AP"} <= set(results)
    assert any(key.startswith("segm/AP-") for key in results)
    names = {path.name for path in out.iterdir()}
    assert {"config.yaml", "log.txt", "metrics.json", "model_final.pth", "model_final_ema.pth"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    checkpoint = torch.load(out / "model_final.pth", weights_only=True)
    assert checkpoint["iteration"] == 1  # the schedule is for one process: two need half the steps

    (out / "evaluation.json").unlink()
    options += ["MODEL.WEIGHTS", out / "model_final_ema.pth"]
    evaluated = run("-m", "solo_d2", "eval", *flags, *options)
    assert evaluated.returncode == 0, evaluated.stderr[-3000:]
    again = json.loads((out / "evaluation.json").read_text())
    # One process instead of two rounds differently, and after two steps every score is near its threshold.
    assert again == pytest.approx(results, abs=5, nan_ok=True)


def test_killed_run_resumes_with_the_same_losses(scenes, tmp_path):
    script = tmp_path / "killed_run.py"
    script.write_text(KILLED_RUN)
    options = ["--config-file", CONFIG, *SMALL, "SOLVER.MAX_ITER", 6, "SOLVER.CHECKPOINT_PERIOD", 2]
    options += ["DATASETS.TEST", "()", "SEED", 3, "SOLVER.EMA.ENABLED", "True"]
    killed = run(script, tmp_path, "start", *options, DETECTRON2_DATASETS=str(scenes))
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-3000:]
    resumed = run(script, tmp_path, "resume", *options, DETECTRON2_DATASETS=str(scenes))
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    whole = (tmp_path / "whole" / "losses.txt").read_text().split()
    continued = (tmp_path / "killed" / "losses.txt").read_text().split()
    assert continued[0::2] == [*"0123", *"45"]
    assert continued == whole  # to the last bit
    ends = [
        torch.load(tmp_path / name / "model_final.pth", weights_only=True)["model"]
        for name in ("whole", "killed")
    ]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_mistakes_are_one_line(tmp_path):
    result = run(
        "-m", "solo_d2", "train", "--config-file", "quick/solov2_tiny", "SOLVER.BASE_LRR", 1, cwd=tmp_path
    )
    assert result.returncode == 2
    lines = [line for line in result.stderr.splitlines() if "arning" not in line and "warn" not in line]
    assert lines == [
        "error: command line: there is no config key SOLVER.BASE_LRR: did you mean SOLVER.BASE_LR?"
    ]
    assert not list(tmp_path.iterdir())


def test_mistake_found_in_a_spawned_process(tmp_path):
    result = run(
        "-m", "solo_d2", "train", "--config-file", CONFIG, "--num-gpus", 2, *SMALL, "OUTPUT_DIR", tmp_path,
        DETECTRON2_DATASETS=str(tmp_path),
    )  # fmt: skip
    assert result.returncode == 2
    assert "Traceback" not in result.stderr and "solo-d2 data scenes" in result.stderr


def test_a_config_in_utf_16_is_used_but_not_logged(tmp_path):
    """Windows writes such files; Detectron2 fails to read one for its log."""
    for encoding, logged in (("utf-8-sig", True), ("utf-16", False)):
        path = tmp_path / f"{encoding}.yaml"
        path.write_text("SEED: 3\n", encoding=encoding)
        arguments = build_parser().parse_args(["--config-file", str(path)])
        assert read_cfg(arguments).SEED == 3
        assert loggable(arguments).config_file == (str(path) if logged else "")
