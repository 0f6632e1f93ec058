"""The driver: whole, killed at six points, with changed settings."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from detectron2.modeling import build_model
from solo_d2.config.loading import load_config
from solo_d2.scenes import generate_scenes

ROOT = Path(__file__).resolve().parents[2]
QUICK = ROOT / "configs" / "quick"
DENSECL = [
    "INPUT.VIEWS.SIZE", "32", "SOLVER.IMS_PER_BATCH", "4", "SOLVER.MAX_ITER", "4",
    "SOLVER.CHECKPOINT_PERIOD", "2", "DATALOADER.NUM_WORKERS", "0", "MODEL.DENSECL.HIDDEN_DIM", "16",
    "MODEL.DENSECL.FEAT_DIM", "8", "MODEL.DENSECL.QUEUE_SIZE", "12",
]  # fmt: skip
FREE_MASK = [
    "INPUT.MIN_SIZE_TEST", "64", "MODEL.FREE_MASK.MASKNESS_THR", "0.3", "PSEUDO_LABELS.SHARD_SIZE", "2",
]  # fmt: skip
SEGMENTER = [
    "INPUT.MIN_SIZE_TRAIN", "(64,)", "INPUT.MIN_SIZE_TEST", "64", "SOLVER.MAX_ITER", "4",
    "SOLVER.IMS_PER_BATCH", "2", "SOLVER.CHECKPOINT_PERIOD", "2", "SOLVER.WARMUP_ITERS", "0",
    "DATALOADER.NUM_WORKERS", "0", "TEST.VIS_IMAGES", "0",
    "MODEL.SOLOV2.SCORE_THR", "0.0", "MODEL.SOLOV2.UPDATE_THR", "0.0", "MODEL.SOLOV2.MASK_THR", "0.1",
    "PSEUDO_LABELS.UPDATE_THR", "0.0", "PSEUDO_LABELS.MAX_BOX_WIDTH", "1.1", "PSEUDO_LABELS.SHARD_SIZE", "2",
]  # fmt: skip
# Files whose appearance is a moment to kill the driver: in the pre-training, while masks are made, between
# stages, in a training, while labels are made, and in the last training.
MOMENTS = (
    "densecl/last_checkpoint",
    "masks/labels.json.shards/000000.json",
    "masks/done.json",
    "train/last_checkpoint",
    "labels_1/started.json",
    "train_1/last_checkpoint",
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Folder with images/ and backbone.pth."""
    root = tmp_path_factory.mktemp("inputs")
    generate_scenes(root / "scenes", num_train=6, num_val=2, size=64, workers=0)
    torch.manual_seed(0)
    model = build_model(load_config(QUICK / "free_mask_tiny.yaml"))
    weights = {name.removeprefix("backbone."): value for name, value in model.state_dict().items()}
    data = {"model": weights, "__author__": "test", "matching_heuristics": True}
    torch.save(data, root / "backbone.pth")
    return root


def command(inputs, output, *more, pretrain=False, free_mask=()):
    """The driver's command line, with DenseCL or with random weights in its place."""
    start = ["--densecl-opts", *DENSECL] if pretrain else ["--backbone", inputs / "backbone.pth"]
    words = [
        sys.executable, "-W", "ignore", "-m", "solo_d2", "freesolo", "--sample", 2,
        "--images", inputs / "scenes" / "train" / "images", "--output", output, *more, *start,
        "--free-mask-opts", *FREE_MASK, *free_mask, "--opts", *SEGMENTER,
    ]  # fmt: skip
    return [str(word) for word in words]


def environment():
    inherited = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *inherited]), "OMP_NUM_THREADS": "1"}


def run(words):
    return subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=1200)


def kill_when(words, path):
    """Runs the driver until a file appears, then kills it (kill -9)."""
    process = subprocess.Popen(
        words, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while not path.exists():
        assert process.poll() is None, process.stderr.read()[-2000:]
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()


def final_weights(output, stage):
    return torch.load(output / stage / "model_final.pth", weights_only=True)["model"]


@pytest.mark.slow
def test_killed_at_any_point_it_ends_with_the_same_files(inputs, tmp_path):
    whole = tmp_path / "whole"
    done = run(command(inputs, whole, pretrain=True))
    assert done.returncode == 0, done.stderr[-3000:]
    killed = tmp_path / "killed"
    for moment in MOMENTS:
        kill_when(command(inputs, killed, pretrain=True), killed / moment)
    done = run(command(inputs, killed, pretrain=True))
    assert done.returncode == 0, done.stderr[-3000:]
    for stage in ("masks", "labels_1", "sample"):
        ours, expected = (output / stage / "labels.json" for output in (killed, whole))
        assert ours.read_bytes() == expected.read_bytes(), stage
    for stage in ("densecl", "train", "train_1"):
        ours, expected = (final_weights(output, stage) for output in (killed, whole))
        assert all(torch.equal(value, expected[name]) for name, value in ours.items()), stage
    done_files = sorted(killed.glob("*/done.json"))
    attempts = {path.parent.name: json.loads(path.read_text())["attempts"] for path in done_files}
    assert min(attempts[stage] for stage in ("densecl", "masks", "train", "labels_1", "train_1")) >= 2
    assert attempts["sample"] == 1
    assert not list(killed.rglob("*.partial")) and "| train_1 |" in (killed / "report.md").read_text()

    again = run(command(inputs, killed, pretrain=True))
    assert again.returncode == 0 and again.stderr.count("done before") == 6


@pytest.mark.slow
def test_changed_settings_are_one_line_and_redo_makes_anew(inputs, tmp_path):
    output = tmp_path / "out"
    until = ["--until", "masks"]
    assert run(command(inputs, output, *until)).returncode == 0
    assert not (output / "train").exists() and (output / "report.md").is_file()
    other = ["MODEL.FREE_MASK.MASK_THR", "0.4"]
    changed = run(command(inputs, output, *until, free_mask=other))
    assert changed.returncode == 2 and "MODEL.FREE_MASK.MASK_THR was 0.5, is 0.4" in changed.stderr
    assert changed.stderr.count("\n") == 1, changed.stderr
    redone = run(command(inputs, output, *until, "--redo", "masks", free_mask=other))
    assert redone.returncode == 0, redone.stderr[-2000:]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--until", "training"], "the stages are masks, train, labels_1, train_1, sample"),
        (["--val-json", "x.json"], "both --val-json and --val-images"),
        (["--masks", "gone.json"], "--masks gone.json does not exist"),
        (["--segmenter", "gone.pth"], "--segmenter gone.pth does not exist"),
        (["--masks", "x", "--segmenter", "y"], "mutually exclusive"),
        (["--rounds", "-1"], "--rounds: -1: it must be at least 0"),
        (["--opts", "SOLVER.MAX_ITR", "3"], "did you mean SOLVER.MAX_ITER"),
        (["--sample", "101"], "--sample: 101: it must be 1 to 100"),
        (["--val-json", __file__, "--val-images", "gone"], "--val-images gone is not a folder"),
        (["--config-file", QUICK / "densecl_tiny.yaml"], "is DenseCL, which learns no masks"),
        (["--free-mask-config", QUICK / "solov2_tiny.yaml"], "must be FreeMask"),
        (["--opts", "SEED", "3"], "SEED of .*freesolo_tiny.yaml is set by --seed"),
        (["--free-mask-opts", "MODEL.WEIGHTS", "x"], "is set by --backbone or --segmenter"),
        (["--redo", "train", "training"], "--redo training: the stages are"),
    ],
)
def test_mistakes_are_one_line(run_command, inputs, tmp_path, capsys, flags, message):
    with pytest.raises(SystemExit) as info:
        run_command("freesolo", *command(inputs, tmp_path / "out")[6:], *flags)
    error = capsys.readouterr().err
    assert info.value.code == 2 and re.search(message, error) and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("masks", "stops"), [(0, True), (1, False)])
def test_nothing_is_trained_on_nothing(run_command, inputs, tmp_path, monkeypatch, capsys, masks, stops):
    """The stages' scripts are left out; what they leave is written here."""
    begun = []

    def leave_outputs(runner, stage):
        begun.append(stage.name)
        counts = json.dumps({"info": {"counts": {"images": 6, "masks": masks}}})[:-1]
        folder = runner.folder / stage.name
        folder.mkdir()
        (folder / "labels.json").write_text(f'{counts},\n"images": [], "annotations": []}}\n')
        return False

    monkeypatch.setattr("solo_d2.pseudo_labels.stages.StageRunner.run", leave_outputs)
    words = command(inputs, tmp_path / "out")[6:]
    if not stops:
        run_command("freesolo", *words)
        assert begun == ["masks", "train", "labels_1", "train_1", "sample"]
        return
    with pytest.raises(SystemExit) as info:
        run_command("freesolo", *words)
    assert info.value.code == 2 and begun == ["masks"]
    assert "stage masks found nothing in any image" in capsys.readouterr().err


def test_pictures_of_a_run_must_not_become_its_images(run_command, inputs, capsys):
    output = inputs / "scenes" / "train" / "images" / "run"
    with pytest.raises(SystemExit):
        run_command("freesolo", *command(inputs, output)[6:])
    assert "is inside --images" in capsys.readouterr().err and not output.exists()
