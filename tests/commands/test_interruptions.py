"""Whole trainings that a signal stops, started in the ways that users have."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from solo_d2.scenes import generate_scenes

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "configs" / "quick" / "solov2_tiny.yaml")
SMALL = (
    "INPUT.MIN_SIZE_TRAIN (64,) SOLVER.IMS_PER_BATCH 2 SOLVER.WARMUP_ITERS 0 SOLVER.MAX_ITER 2000 "
    "SOLVER.REFERENCE_WORLD_SIZE 0 DATASETS.TEST () SEED 1"
).split()
# Seconds until a training has made its first steps on a busy machine.
PATIENCE = 300.0

pytestmark = [pytest.mark.slow, pytest.mark.skipif(torch.cuda.is_available(), reason="is about CPUs")]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp("datasets")
    generate_scenes(root / "scenes", num_train=6, num_val=2, size=64, workers=0)
    return root


@pytest.fixture
def start(scenes, tmp_path):
    """Starts a process in a group of its own; ends what is left of it after the test."""
    started = []
    inherited = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *inherited]),
        "OMP_NUM_THREADS": "1",
        "DETECTRON2_DATASETS": str(scenes),
    }

    def run(*command, **more):
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", *map(str, command)],
            env={**environment, **more},
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        process.wait()
    shutil.rmtree(tmp_path)  # checkpoints of this model are large


def wait_until_it_trains(folder, *processes, ranks=1):
    logs = [folder / name for name in ("log.txt", "log.txt.rank1")[:ranks]]
    deadline = time.monotonic() + PATIENCE
    while not all(log.exists() and "Starting training" in log.read_text() for log in logs):
        for process in processes:
            assert process.poll() is None, process.stderr.read()[-3000:]
        assert time.monotonic() < deadline, folder
        time.sleep(0.05)


def last_iteration(folder):
    path = folder / (folder / "last_checkpoint").read_text()
    return torch.load(path, weights_only=True)["iteration"]


def lines_of(process):
    _, text = process.communicate(timeout=PATIENCE)
    return [
        line for line in text.splitlines() if line.startswith("SIG") or "rror" in line or "Traceback" in line
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("to_all", [False, True])
def test_spawned_processes(start, tmp_path, number, to_all):
    out = tmp_path / "out"
    command = [ROOT / "train_net.py", "--config-file", CONFIG, "--num-gpus", 2]
    process = start(*command, *SMALL, "OUTPUT_DIR", out)
    wait_until_it_trains(out, process, ranks=2)
    (os.killpg if to_all else os.kill)(process.pid, number)
    lines = lines_of(process)
    assert process.returncode == 128 + number, lines
    name = signal.Signals(number).name
    assert len(lines) == 1 and lines[0].startswith(f"{name}: stopped, the checkpoint is {out}/"), lines
    command = shlex.split(lines[0].partition("to resume: python ")[2])
    assert command[:4] == [str(ROOT / "train_net.py"), "--resume", "--config-file", CONFIG]
    reached = last_iteration(out)
    resumed = start(*command[:-1], command[-1], "SOLVER.MAX_ITER", reached + 3)
    assert not lines_of(resumed) and resumed.returncode == 0
    assert last_iteration(out) == reached + 2


def test_two_tasks_of_srun_are_one_training(start, tmp_path):
    out = tmp_path / "out"
    tasks = []
    for rank in range(2):
        place = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}
        place |= {
            "SLURM_STEP_TASKS_PER_NODE": "2",
            "SLURM_STEP_NODELIST": "localhost",
            "SLURM_JOB_ID": str(os.getpid()),
        }
        tasks.append(
            start("-m", "solo_d2", "train", "--config-file", CONFIG, *SMALL, "OUTPUT_DIR", out, **place)
        )
    wait_until_it_trains(out, *tasks, ranks=2)
    for task in tasks:
        task.send_signal(signal.SIGTERM)
    lines = [lines_of(task) for task in tasks]
    assert [task.returncode for task in tasks] == [143, 143], lines
    assert lines[1] == [] and lines[0][0].endswith("to resume: the same command with --resume"), lines
    assert not out.with_name("out_1").exists()


def test_two_trainings_do_not_share_a_folder(start, tmp_path):
    out, other = tmp_path / "out", tmp_path / "out_1"
    command = ["-m", "solo_d2", "train", "--config-file", CONFIG, *SMALL, "OUTPUT_DIR", out]
    first = start(*command)
    wait_until_it_trains(out, first)
    second = start(*command)
    wait_until_it_trains(other, first, second)
    refused = start(*command, "OUTPUT_DIR_IF_USED", "refuse")
    lines = lines_of(refused)
    assert refused.returncode == 2 and f"a training (process {first.pid} on " in lines[0] and len(lines) == 1
    assert "out_1" in (other / "log.txt").read_text()
    second.send_signal(signal.SIGINT)
    assert f"OUTPUT_DIR {out} OUTPUT_DIR {other}" in lines_of(second)[0]
    first.send_signal(signal.SIGINT)
    assert lines_of(first) and first.returncode == 130
    metrics = [json.loads(line)["iteration"] for line in (out / "metrics.json").read_text().splitlines()]
    assert metrics == sorted(set(metrics))
