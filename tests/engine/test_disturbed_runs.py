"""Whatever stops a training, it loses at most the steps since the last save, and resumes exactly."""

import os

import torch

from tests.engine.disturbances import EXIT_CODES, SIGNAL_NAMES, WRITING, at_points, last_iteration, the_line

# The others are slow together.
QUICK = {
    *(("kill", point) for point in ("unbuilt", "written", "tagging", "metrics", "writing model_best")),
    ("kill", "writing model_final"), ("term", "registering"), ("term", "evaluating"), ("int", "backward"),
    ("usr1", "writing model_best"), ("full", "metrics"), ("readonly", "written"), ("removed", "stepped"),
}  # fmt: skip


@at_points(["kill"], QUICK)
def test_killed(disturbed, tmp_path, kind, point, iteration, saved):
    killed = disturbed.run(tmp_path / "out", kind=kind, point=point, iteration=iteration)
    assert killed["codes"] == [-9] and not killed["errors"]
    disturbed.check_resumes(tmp_path / "out", killed, saved)


@at_points(EXIT_CODES, QUICK)
def test_stopped_by_a_signal(disturbed, tmp_path, kind, point, iteration, saved):
    folder = tmp_path / "out"
    stopped = disturbed.run(folder, kind=kind, point=point, iteration=iteration)
    assert stopped["codes"] == [EXIT_CODES[kind]], stopped
    line = the_line(stopped)
    if iteration < 0 or point == "written evaluation":  # before and after the training
        assert line == f"{SIGNAL_NAMES[kind]}: stopped"
    else:
        assert line.startswith(f"{SIGNAL_NAMES[kind]}: stopped, the checkpoint is {folder}{os.sep}"), line
        assert line.endswith(f"to resume: python train_net.py --resume OUTPUT_DIR {folder}")
    disturbed.check_resumes(folder, stopped, saved=last_iteration(stopped))  # no step is lost


@at_points(["full", "readonly"], QUICK, WRITING)
def test_cannot_write(disturbed, tmp_path, kind, point, iteration, saved):
    folder = tmp_path / "out"
    failed = disturbed.run(folder, kind=kind, point=point, iteration=iteration)
    folder.chmod(0o755)
    assert failed["codes"] == [2], failed
    assert str(folder) in the_line(failed)
    disturbed.check_resumes(folder, failed, saved)


def test_the_disk_is_full_from_the_start(disturbed, tmp_path):
    failed = disturbed.run(tmp_path / "out", kind="full", point="starting", iteration=-1)
    assert failed["codes"] == [2]
    assert the_line(failed) == f"error: OUTPUT_DIR {tmp_path / 'out'} cannot be written to: File too large"


@at_points(["removed", "moved"], QUICK)
def test_folder_removed(disturbed, tmp_path, kind, point, iteration, saved):
    folder = tmp_path / "out"
    answer = disturbed.run(folder, kind=kind, point=point, iteration=iteration)
    if answer["codes"] != [2]:  # the next save made the folder again
        assert answer["codes"] == [0] and answer["losses"] == disturbed.whole()[1], answer
        saved = 5 if (folder / "model_final.pth").exists() else -1
    else:
        assert str(folder) in the_line(answer)
        saved = -1
    disturbed.check_resumes(folder, answer, saved, kept=False)


def test_a_second_signal_ends_at_once(disturbed, tmp_path):
    stopped = disturbed.run(tmp_path / "out", kind="twice", point="forward", iteration=3)
    assert stopped["codes"] == [143] and list(stopped["losses"]) == list("012")
    assert the_line(stopped) == "second signal: ended at once"
    disturbed.check_resumes(tmp_path / "out", stopped, saved=2)


def test_a_killed_loader_process_is_one_line(disturbed, tmp_path):
    workers = {"DATALOADER__NUM_WORKERS": 1}
    failed = disturbed.run(tmp_path / "out", settings=workers, kind="loader", point="forward", iteration=3)
    assert failed["codes"] == [1], failed
    line = the_line(failed)
    # Rarely the process's pipe breaks before its death is noticed.
    reasons = ("is killed by signal: Killed", "is gone: Connection re")  # reset, refused
    assert line.startswith(tuple(f"error: a data-loader process ended ({reason}" for reason in reasons))
    assert "DATALOADER.NUM_WORKERS" in line and "--resume" in line
    # The death is noticed now or with one of the next batches.
    saved = torch.load(
        tmp_path / "out" / (tmp_path / "out" / "last_checkpoint").read_text(), weights_only=True
    )
    assert last_iteration(failed) - 1 <= saved["iteration"] <= last_iteration(failed)
    disturbed.check_resumes(tmp_path / "out", failed, saved["iteration"])


def test_a_signal_to_all_processes_spares_the_loader(disturbed, tmp_path):
    workers = {"DATALOADER__NUM_WORKERS": 2}
    stopped = disturbed.run(
        tmp_path / "out", settings=workers, kind="term", whom="group", point="forward", iteration=3
    )
    assert stopped["codes"] == [143]
    assert the_line(stopped).startswith("SIGTERM: stopped, the checkpoint is ")
    disturbed.check_resumes(tmp_path / "out", stopped, saved=3)
