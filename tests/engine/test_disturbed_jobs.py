"""The same as test_disturbed_runs.py for jobs of two processes on gloo."""

import os

import pytest

from tests.engine.disturbances import (
    EXIT_CODES,
    POINTS,
    SIGNAL_NAMES,
    WRITING,
    at_points,
    last_iteration,
    the_line,
)

LOST = "error: another process of this job ended, its own message says why"
# Points that all processes reach, and those that only the main one can reach.
SHARED = [
    place for place in POINTS if place[0] in ("registering", "unbuilt", "forward", "backward", "stepped")
]


def is_at_once(point, iteration):
    """Returns whether a signal ends a process at once: before, between and after the steps."""
    return iteration < 0 or point in ("evaluating", "written evaluation") or "model_final" in point


def check_stopped(answer, kind, folder, *, at_once):
    line = the_line(answer)
    assert line.startswith(f"{SIGNAL_NAMES[kind]}: stopped"), line
    assert at_once or f"the checkpoint is {folder}{os.sep}" in line


def without_the_lost(answer):
    """Drops the line of the second process, which the launcher may end before it writes."""
    return {**answer, "errors": answer["errors"].replace(f"[rank 1] {LOST}\n", "")}


@at_points(["kill", *EXIT_CODES], {("kill", "backward"), ("usr1", "before_step")})
def test_the_first_process(disturbed, tmp_path, kind, point, iteration, saved):
    folder = tmp_path / "out"
    broken = disturbed.run(folder, kind=kind, point=point, iteration=iteration, ranks=2)
    alone = kind == "kill" or is_at_once(
        point, iteration
    )  # the other finds out when it hears nothing from it
    assert broken["codes"] == ([EXIT_CODES.get(kind, -9), 1] if alone else [EXIT_CODES[kind]] * 2), broken
    lines = broken["errors"].splitlines()
    if alone:
        lines.remove(f"[rank 1] {LOST}")
    if kind != "kill":
        assert lines.pop(0).startswith(f"{SIGNAL_NAMES[kind]}: stopped")
        saved = last_iteration(broken)
    assert not lines
    disturbed.check_resumes(folder, broken, saved, ranks=2)


@at_points(["kill", *EXIT_CODES], {("term", "backward")}, SHARED)
def test_the_second_process(disturbed, tmp_path, kind, point, iteration, saved):
    folder = tmp_path / "out"
    broken = disturbed.run(folder, kind=kind, point=point, iteration=iteration, ranks=2, rank=1)
    if kind == "kill" or is_at_once(point, iteration):
        assert broken["codes"] == [1, EXIT_CODES.get(kind, -9)] and the_line(broken) == LOST, broken
        saved += point == "stepped"  # the first process saves what both have trained
    else:
        assert broken["codes"] == [EXIT_CODES[kind]] * 2, broken
        check_stopped(broken, kind, folder, at_once=False)
        saved = last_iteration(broken)
    disturbed.check_resumes(folder, broken, saved, ranks=2)


@at_points(["kill", *EXIT_CODES], {("term", "written evaluation")})
def test_all_processes(disturbed, tmp_path, kind, point, iteration, saved):
    folder = tmp_path / "out"
    broken = disturbed.run(folder, kind=kind, point=point, iteration=iteration, ranks=2, whom="group")
    assert broken["codes"] == [EXIT_CODES.get(kind, -9)] * 2, broken
    if kind == "kill":
        assert not broken["errors"]
    else:
        check_stopped(broken, kind, folder, at_once=is_at_once(point, iteration))
        saved = last_iteration(broken)
    disturbed.check_resumes(folder, broken, saved, ranks=2)


@at_points(["full", "readonly"], {("full", "writing")}, WRITING)
def test_cannot_write(disturbed, tmp_path, kind, point, iteration, saved):
    folder = tmp_path / "out"
    failed = disturbed.run(folder, kind=kind, point=point, iteration=iteration, ranks=2)
    folder.chmod(0o755)
    assert failed["codes"] == [2, 1], failed
    first, second = failed["errors"].splitlines()
    assert str(folder) in first and second == f"[rank 1] {LOST}"
    disturbed.check_resumes(folder, failed, saved, ranks=2)


@at_points(["removed"], {})
def test_folder_removed(disturbed, tmp_path, kind, point, iteration, saved):
    folder = tmp_path / "out"
    answer = disturbed.run(folder, kind=kind, point=point, iteration=iteration, ranks=2)
    if answer["codes"] != [2, 1]:
        assert answer["codes"] == [0, 0] and answer["losses"] == disturbed.whole(2)[1], answer
        saved = 5 if (folder / "model_final.pth").exists() else -1
    else:
        assert str(folder) in answer["errors"].splitlines()[0]
        saved = -1
    disturbed.check_resumes(folder, answer, saved, ranks=2, kept=False)


# Signals to the launcher, to one of its processes, and as terminals and schedulers do, to all.
@pytest.mark.parametrize("whom", ["parent", "self", "group"])
@at_points(["kill", *EXIT_CODES], {("int", "forward")}, [POINTS[4], POINTS[7], POINTS[12], POINTS[17]])
def test_spawned_processes(disturbed, tmp_path, kind, point, iteration, saved, whom):
    folder = tmp_path / "out"
    job = {"ranks": 2, "form": "spawned", "kind": kind, "point": point, "iteration": iteration, "whom": whom}
    broken = disturbed.run(folder, **job)
    if whom == "self":
        broken = without_the_lost(broken)
    if kind != "kill":
        assert broken["codes"] == [EXIT_CODES[kind]], broken
    elif whom == "self":
        assert broken["codes"] == [1], broken
        assert the_line(broken).startswith("error: a process was ended by SIGKILL")
    else:
        assert broken["codes"] == [-9] and (whom == "parent" or not broken["errors"]), broken
    if kind != "kill" or whom == "parent":  # the end of the launcher is SIGINT for its processes
        check_stopped(broken, "int" if kind == "kill" else kind, folder, at_once=point == "evaluating")
        saved = last_iteration(broken)
    disturbed.check_resumes(folder, broken, saved, ranks=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "whom"),
    [("term", "parent"), ("int", "parent"), ("term", "self"), ("usr1", "self"), ("kill", "self")],
)
def test_processes_of_torchrun(disturbed, tmp_path, kind, whom):
    folder = tmp_path / "out"
    broken = disturbed.run_under_torchrun(folder, kind=kind, point="backward", iteration=3, whom=whom)
    assert broken["codes"] != [0]
    stops = [line for line in broken["errors"].splitlines() if "stopped, the checkpoint is " in line]
    if kind != "kill":  # torchrun adds its own report
        assert len(stops) == 1 and stops[0].startswith(f"{SIGNAL_NAMES[kind]}: stopped"), broken["errors"]
        assert stops[0].endswith("to resume: the same command with --resume")
    saved = 2 if kind == "kill" else last_iteration(broken)
    disturbed.check_resumes(folder, broken, saved, ranks=2)


def test_a_bad_loss_of_the_second_rank_is_the_only_line(disturbed, tmp_path):
    failed = disturbed.run(tmp_path / "out", kind="nan", point="before_step", iteration=3, ranks=2, rank=1)
    assert failed["codes"] == [1, 1]
    line = the_line(failed)
    assert line.startswith(
        "[rank 1] error: loss became infinite or NaN: loss_brightness=nan, loss_size=nan at "
    )
    assert (tmp_path / "out" / "nonfinite_iter_0000003_rank1.pth").is_file()


def test_an_error_of_the_second_rank_is_not_buried(disturbed, tmp_path):
    failed = disturbed.run(tmp_path / "out", kind="error", point="forward", iteration=3, ranks=2, rank=1)
    assert failed["codes"] == [1, 2] and "Traceback" not in failed["errors"]
    assert sorted(failed["errors"].splitlines()) == [
        "[rank 1] error: [Errno 5] Input/output error",
        "error: another process of this job ended, its own message says why",
    ]
