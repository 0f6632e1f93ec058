"""Whatever stops a training, it loses at most the steps since the last save, and resumes exactly."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# Saves after iterations 1, 3 and 5, evaluates after 2 and at the end.
SETTINGS = {
    "SOLVER__CHECKPOINT_PERIOD": 2,
    "TEST__EVAL_PERIOD": 3,
    "SOLVER__OPTIMIZER": "AdamW",
    "SOLVER__EMA__ENABLED": True,
}
# Where something goes wrong, in which iteration, and the last iteration that was saved before.
POINTS = [
    ("before_step", 3, 2), ("forward", 3, 2), ("backward", 3, 2), ("stepped", 3, 2), ("writing", 3, 2),
    ("written", 3, 2), ("tagging", 3, 2), ("after_step", 4, 3), ("evaluating", 2, 2), ("evaluating", 5, 5),
]  # fmt: skip
QUICK = {"kill": POINTS, "term": POINTS[::3], "int": POINTS[1:2], "usr1": POINTS[8:9]}
QUICK |= {"full": POINTS[4:5], "readonly": POINTS[5:6], "removed": POINTS[3:4]}


def at_points(kinds, quick=QUICK):
    """Parametrizes over all points; all but some are slow together."""
    return pytest.mark.parametrize(
        ("kind", "point", "iteration", "saved"),
        [
            pytest.param(kind, *point, marks=[] if point in quick.get(kind, ()) else pytest.mark.slow)
            for kind in kinds
            for point in POINTS
        ],
    )


EXIT_CODES = {"term": 143, "int": 130, "usr1": 138}
SIGNAL_NAMES = {"term": "SIGTERM", "int": "SIGINT", "usr1": "SIGUSR1"}


@pytest.fixture(scope="module")
def server():
    """Function from a job to its answer, see disturbed_run.py."""
    inherited = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    paths = os.pathsep.join([str(ROOT), *inherited])
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(HERE / "disturbed_run.py")],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def ask(job):
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield ask
    process.stdin.close()
    process.wait()


@pytest.fixture(scope="module")
def run(server, tiny_files):
    """Runs a training in a folder; options are those of a job."""
    data = [tiny_files.train.json, tiny_files.train.images, tiny_files.val.json, tiny_files.val.images]

    def start(folder, *, settings=None, **job):
        if job.get("ranks", 1) > 1:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                job["port"] = probe.getsockname()[1]
        return server({"out": str(folder), "data": data, "settings": {**SETTINGS, **(settings or {})}, **job})

    return start


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory):
    """Function from a number of ranks to an undisturbed run's losses and final weights."""
    runs = {}

    def get(ranks=1):
        if ranks not in runs:
            folder = tmp_path_factory.mktemp("whole") / "out"
            done = run(folder, ranks=ranks)
            assert done["codes"] == [0] * ranks and list(done["losses"]) == list("012345"), done
            runs[ranks] = done["losses"], final_weights(folder)
        return runs[ranks]

    return get


def final_weights(folder):
    return torch.load(folder / "model_final.pth", weights_only=True)["model"]


def check_resumes(run, whole, folder, broken, saved, ranks=1):
    """Resumes a run after the iteration that was saved; all steps are those of an undisturbed run."""
    losses, weights = whole(ranks)
    resumed = run(folder, resume=True, ranks=ranks)
    assert resumed["codes"] == [0] * ranks, resumed["errors"]
    assert list(resumed["losses"]) == list("012345"[saved + 1 :])
    assert {**broken["losses"], **resumed["losses"]} == losses
    ours = final_weights(folder)
    assert all(torch.equal(ours[name], value) for name, value in weights.items())
    assert (folder / "last_checkpoint").read_text() == "model_final.pth"
    assert json.loads((folder / "evaluation.json").read_text())["segm/AP"] > 90
    assert not list(folder.glob(".*.partial*"))


def the_line(answer):
    """Returns the only line on stderr."""
    lines = answer["errors"].splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def last_iteration(answer):
    return max(map(int, answer["losses"]))


@at_points(["kill"])
def test_killed(run, whole, tmp_path, kind, point, iteration, saved):
    killed = run(tmp_path / "out", kind=kind, point=point, iteration=iteration)
    assert killed["codes"] == [-9]
    check_resumes(run, whole, tmp_path / "out", killed, saved)


@at_points(EXIT_CODES)
def test_stopped_by_a_signal(run, whole, tmp_path, kind, point, iteration, saved):
    folder = tmp_path / "out"
    stopped = run(folder, kind=kind, point=point, iteration=iteration)
    assert stopped["codes"] == [EXIT_CODES[kind]], stopped
    line = the_line(stopped)
    assert line.startswith(f"{SIGNAL_NAMES[kind]}: stopped, the checkpoint is {folder}{os.sep}"), line
    assert line.endswith(f"to resume: python train_net.py --resume OUTPUT_DIR {folder}")
    check_resumes(run, whole, folder, stopped, saved=last_iteration(stopped))  # no step is lost


@at_points(["full", "readonly"])
def test_cannot_write(run, whole, tmp_path, kind, point, iteration, saved):
    folder = tmp_path / "out"
    failed = run(folder, kind=kind, point=point, iteration=iteration)
    folder.chmod(0o755)
    assert failed["codes"] == [2], failed
    assert str(folder) in the_line(failed) and "Traceback" not in failed["errors"]
    check_resumes(run, whole, folder, failed, saved)


@at_points(["removed"])
def test_folder_removed(run, whole, tmp_path, kind, point, iteration, saved):
    folder = tmp_path / "out"
    answer = run(folder, kind=kind, point=point, iteration=iteration)
    if answer["codes"] != [2]:  # the next save made the folder again
        assert answer["codes"] == [0] and answer["losses"] == whole()[0], answer
        saved = 5 if (folder / "model_final.pth").exists() else -1
    else:
        assert str(folder) in the_line(answer)
        saved = -1
    check_resumes(run, whole, folder, answer, saved)


@at_points(["kill", *EXIT_CODES], quick={"kill": POINTS[2:3], "usr1": POINTS[1:2]})
def test_first_of_two_ranks(run, whole, tmp_path, kind, point, iteration, saved):
    folder = tmp_path / "out"
    broken = run(folder, kind=kind, point=point, iteration=iteration, ranks=2)
    alone = kind == "kill" or point == "evaluating"  # the others find out when they hear nothing from it
    assert broken["codes"] == ([EXIT_CODES.get(kind, -9), 1] if alone else [EXIT_CODES[kind]] * 2), broken
    lines = broken["errors"].splitlines()
    if alone:
        assert lines.pop(-1) == "[rank 1] error: another process of this job ended, its own message says why"
    if kind != "kill":
        assert lines.pop(0).startswith(f"{SIGNAL_NAMES[kind]}: stopped, the checkpoint is {folder}{os.sep}")
        saved = last_iteration(broken)
    assert not lines
    check_resumes(run, whole, folder, broken, saved, ranks=2)


@pytest.mark.parametrize("iteration", [3, 5])
def test_a_signal_to_the_second_rank_stops_both(run, whole, tmp_path, iteration):
    stopped = run(tmp_path / "out", kind="term", point="forward", iteration=iteration, ranks=2, rank=1)
    assert stopped["codes"] == [143, 143]
    assert the_line(stopped).startswith("SIGTERM: stopped, the checkpoint is ")
    check_resumes(run, whole, tmp_path / "out", stopped, saved=iteration, ranks=2)


@at_points(["full", "readonly"], quick={})
def test_two_ranks_cannot_write(run, whole, tmp_path, kind, point, iteration, saved):
    folder = tmp_path / "out"
    failed = run(folder, kind=kind, point=point, iteration=iteration, ranks=2)
    folder.chmod(0o755)
    assert failed["codes"] == [2, 1] and "Traceback" not in failed["errors"], failed
    first, second = failed["errors"].splitlines()
    assert str(folder) in first and second.startswith("[rank 1] error: another process of this job ended")
    check_resumes(run, whole, folder, failed, saved, ranks=2)


def test_a_bad_loss_of_the_second_rank_is_the_only_line(run, tmp_path):
    failed = run(tmp_path / "out", kind="nan", point="before_step", iteration=3, ranks=2, rank=1)
    assert failed["codes"] == [1, 1]
    line = the_line(failed)
    assert line.startswith(
        "[rank 1] error: loss became infinite or NaN: loss_brightness=nan, loss_size=nan at "
    )
    assert (tmp_path / "out" / "nonfinite_iter_0000003_rank1.pth").is_file()


def test_an_error_of_the_second_rank_is_not_buried(run, tmp_path):
    failed = run(tmp_path / "out", kind="error", point="forward", iteration=3, ranks=2, rank=1)
    assert failed["codes"] == [1, 2] and "Traceback" not in failed["errors"]
    assert sorted(failed["errors"].splitlines()) == [
        "[rank 1] error: [Errno 5] Input/output error",
        "error: another process of this job ended, its own message says why",
    ]


def test_a_second_signal_ends_at_once(run, whole, tmp_path):
    stopped = run(tmp_path / "out", kind="twice", point="forward", iteration=3)
    assert stopped["codes"] == [143] and list(stopped["losses"]) == list("012")
    assert the_line(stopped) == "second signal: ended at once"
    check_resumes(run, whole, tmp_path / "out", stopped, saved=2)


@pytest.mark.parametrize("kind", EXIT_CODES)
def test_a_signal_before_the_first_iteration(run, tmp_path, kind):
    stopped = run(tmp_path / "out", kind=kind, point="built", iteration=-1)
    assert stopped["codes"] == [EXIT_CODES[kind]] and not stopped["losses"]
    assert the_line(stopped) == f"{SIGNAL_NAMES[kind]}: stopped"


def test_a_signal_in_the_first_iteration(run, whole, tmp_path):
    stopped = run(tmp_path / "out", kind="term", point="forward", iteration=0)
    assert stopped["codes"] == [143] and list(stopped["losses"]) == ["0"]
    check_resumes(run, whole, tmp_path / "out", stopped, saved=0)


def test_a_killed_loader_process_is_one_line(run, whole, tmp_path):
    workers = {"DATALOADER__NUM_WORKERS": 1}
    failed = run(tmp_path / "out", settings=workers, kind="loader", point="forward", iteration=3)
    assert failed["codes"] == [1], failed
    line = the_line(failed)
    # Rarely the process's pipe breaks before its death is noticed.
    reasons = ("is killed by signal: Killed", "is gone: Connection reset by peer")
    assert line.startswith(tuple(f"error: a data-loader process ended ({reason})" for reason in reasons))
    assert "DATALOADER.NUM_WORKERS" in line and "--resume" in line
    # The death is noticed now or with one of the next batches.
    saved = torch.load(
        tmp_path / "out" / (tmp_path / "out" / "last_checkpoint").read_text(), weights_only=True
    )
    assert last_iteration(failed) - 1 <= saved["iteration"] <= last_iteration(failed)
    check_resumes(run, whole, tmp_path / "out", failed, saved["iteration"])


def test_a_signal_to_all_processes_spares_the_loader(run, whole, tmp_path):
    workers = {"DATALOADER__NUM_WORKERS": 2}
    stopped = run(tmp_path / "out", settings=workers, kind="group", point="forward", iteration=3)
    assert stopped["codes"] == [143]
    assert the_line(stopped).startswith("SIGTERM: stopped, the checkpoint is ")
    check_resumes(run, whole, tmp_path / "out", stopped, saved=3)
