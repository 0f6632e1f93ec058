"""Trainings that something goes wrong in, and what must be true of them after they have been resumed."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).with_name("disturbed_run.py")
# Saves after iterations 1, 3 and 5, evaluates after 2 and at the end; metrics are written after 1, 3 and 5.
SETTINGS = {
    "SOLVER__CHECKPOINT_PERIOD": 2,
    "TEST__EVAL_PERIOD": 3,
    "SOLVER__OPTIMIZER": "AdamW",
    "SOLVER__EMA__ENABLED": True,
}
# Where something goes wrong, in which iteration, and the last iteration that was saved before.
POINTS = [
    ("registering", -1, -1), ("unbuilt", -1, -1), ("forward", 0, -1), ("before_step", 3, 2),
    ("forward", 3, 2), ("backward", 3, 2), ("stepped", 3, 2), ("writing", 3, 2), ("written", 3, 2),
    ("tagging", 3, 2), ("metrics", 3, 3), ("after_step", 4, 3), ("evaluating", 2, 2),
    ("writing model_best", 2, 2), ("written model_best", 2, 2), ("writing model_final", 5, 5),
    ("writing model_final_ema", 5, 5), ("evaluating", 5, 5), ("written evaluation", 5, 5),
]  # fmt: skip
WRITING = POINTS[:-1]  # something is written afterwards
EXIT_CODES = {"term": 143, "int": 130, "usr1": 138}
SIGNAL_NAMES = {"term": "SIGTERM", "int": "SIGINT", "usr1": "SIGUSR1"}
# Metrics that measure time.
_TIMES = {"time", "data_time", "rank_data_time", "eta_seconds"}


def at_points(kinds, quick, points=POINTS):
    """Parametrizes over kinds and points; all are slow together but ``quick``, pairs of kind and point."""
    return pytest.mark.parametrize(
        ("kind", "point", "iteration", "saved"),
        [
            pytest.param(kind, *place, marks=[] if (kind, place[0]) in quick else pytest.mark.slow)
            for kind in kinds
            for place in points
        ],
    )


def environment():
    """Returns the environment of the processes of a job."""
    inherited = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    paths = os.pathsep.join([str(SCRIPT.parents[2]), *inherited])
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


class Runs:
    """Starts trainings and compares them with undisturbed ones."""

    def __init__(self, server, files, folder):
        self.server, self.folder = server, folder
        self.data = [files.train.json, files.train.images, files.val.json, files.val.images]
        self._whole = {}

    def run(self, folder, *, settings=None, **job):
        """Runs a training in a folder; options are those of a job."""
        if job.get("ranks", 1) > 1:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                job["port"] = probe.getsockname()[1]
        settings = {**SETTINGS, **(settings or {})}
        answer = self.server({"out": str(folder), "data": self.data, "settings": settings, **job})
        assert not answer["left"] and "Traceback" not in answer["errors"], answer
        return answer

    def run_under_torchrun(self, folder, **job):
        """Does the same with two processes that torchrun starts; answers with its exit code."""
        job = {"out": str(folder), "data": self.data, "settings": SETTINGS, **job}
        report = folder.with_name("report.txt")
        launcher = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone"]
        ended = subprocess.run(
            [*launcher, "--nproc_per_node", "2", str(SCRIPT), json.dumps(job)],
            env={**environment(), "REPORT": str(report)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        losses = dict(line.split() for line in report.read_text().splitlines())
        return {"codes": [ended.returncode], "losses": losses, "errors": ended.stderr}

    def whole(self, ranks=1):
        """Returns the folder and losses of an undisturbed run."""
        if ranks not in self._whole:
            folder = self.folder / str(ranks)
            done = self.run(folder, ranks=ranks)
            assert done["codes"] == [0] * ranks and list(done["losses"]) == list("012345"), done
            assert iterations(folder) == [1, 2, 3, 5, 6]
            self._whole[ranks] = folder, done["losses"]
        return self._whole[ranks]

    def check_resumes(self, folder, broken, saved, *, ranks=1, kept=True):
        """Resumes a run after the iteration that was saved; all is as in an undisturbed run.

        Args:
            folder: The run's.
            broken: Its answer.
            saved: The iteration; -1 for none.
            ranks: The number of processes.
            kept: Whether the earlier files are still there.
        """
        whole, losses = self.whole(ranks)
        resumed = self.run(folder, resume=True, ranks=ranks)
        assert resumed["codes"] == [0] * ranks, resumed["errors"]
        assert list(resumed["losses"]) == list("012345"[saved + 1 :])
        assert {**broken["losses"], **resumed["losses"]} == losses
        same = ["model_final", "model_final_ema"] + ["model_best"] * kept
        for name in same:
            ours, theirs = (read_weights(place / f"{name}.pth") for place in (folder, whole))
            assert all(torch.equal(ours[key], value) for key, value in theirs.items()), name
        assert (folder / "last_checkpoint").read_text() == "model_0000005.pth"
        results = [(place / "evaluation.json").read_text() for place in (folder, whole)]
        assert results[0] == results[1] and json.loads(results[0])["segm/AP"] > 90
        assert not list(folder.rglob(".*.partial*"))
        found = iterations(folder)
        assert found == sorted(set(found))
        if kept:
            assert (folder / "model_best.json").read_text() == (whole / "model_best.json").read_text()
            ours, theirs = metrics(folder), metrics(whole)
            for iteration, row in theirs.items():  # a run that fails writes what it has, too
                assert row.items() <= ours[iteration].items(), (iteration, row, ours[iteration])


def read_weights(path):
    return torch.load(path, weights_only=True)["model"]


def iterations(folder):
    """Returns the iterations of all lines, sorted, because one write of Detectron2's has no order."""
    lines = (folder / "metrics.json").read_text().splitlines()
    return sorted(json.loads(line)["iteration"] for line in lines)


def metrics(folder):
    """Returns the metrics of each iteration that do not measure time."""
    rows = map(json.loads, (folder / "metrics.json").read_text().splitlines())
    return {row["iteration"]: {k: repr(v) for k, v in row.items() if k not in _TIMES} for row in rows}


def the_line(answer):
    """Returns the only line on stderr."""
    lines = answer["errors"].splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def last_iteration(answer):
    """Returns the last iteration that was trained; -1 for none."""
    return max(map(int, answer["losses"]), default=-1)
