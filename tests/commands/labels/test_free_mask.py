"""``solo-d2 labels free-mask`` in this and in several processes; memory over many images."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.modeling import build_model
from solo_d2.config.loading import load_config

ROOT = Path(__file__).resolve().parents[3]
CONFIG = ROOT / "configs" / "quick" / "free_mask_tiny.yaml"
OPTIONS = [
    "INPUT.MIN_SIZE_TEST", "64", "MODEL.FREE_MASK.MASKNESS_THR", "0.3", "PSEUDO_LABELS.SHARD_SIZE", "3",
]  # fmt: skip

# Prints this process's peak memory in MB after labeling a folder.
MEASURED = """
import resource, runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "backbone.pth"
    torch.save({"model": build_model(load_config(CONFIG)).state_dict()}, path)
    return path


@pytest.fixture
def make_images(tmp_path):
    def make(count, side=48):
        folder = tmp_path / f"images_{count}"
        folder.mkdir()
        generator = np.random.default_rng(0)
        for number in range(count):
            coarse = generator.integers(0, 255, (3, 4, 3), np.uint8)
            Image.fromarray(coarse).resize((side, side), Image.BILINEAR).save(folder / f"{number}.png")
        return folder

    return make


@pytest.fixture
def flags(weights):
    def flags_(images, output, *more):
        base = ["--config-file", CONFIG, "--images", images, "--output", output, *more]
        return [*base, "--opts", "MODEL.WEIGHTS", weights, *OPTIONS]

    return flags_


def test_one_and_two_processes_write_the_same_file(run_command, make_images, flags, tmp_path):
    images = make_images(7)
    run_command("labels free-mask", *flags(images, tmp_path / "one.json"))
    run_command("labels free-mask", *flags(images, tmp_path / "two.json", "--processes", 2))
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    content = json.loads((tmp_path / "one.json").read_text())
    assert len(content["images"]) == 7 and content["annotations"]
    assert {len(one["embedding"]) for one in content["annotations"]} == {128}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--images", "gone"], "gone does not exist"),
        (["--config-file", ROOT / "configs" / "quick" / "solov2_tiny.yaml"], "is not a Free Mask config"),
    ],
)
def test_mistakes_are_one_line(run_command, make_images, flags, tmp_path, capsys, more, message):
    with pytest.raises(SystemExit) as info:
        run_command("labels free-mask", *flags(make_images(1), tmp_path / "x.json", *more))
    error = capsys.readouterr().err
    assert info.value.code == 2 and message in error and error.count("\n") == 1


def test_random_weights_are_refused(run_command, make_images, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run_command(
            "labels free-mask",
            "--config-file",
            CONFIG,
            "--images",
            make_images(1),
            "--output",
            tmp_path / "x.json",
        )
    assert "no weights" in capsys.readouterr().err


@pytest.mark.slow
def test_memory_does_not_grow_with_the_images(make_images, flags, tmp_path):
    """10,000 tiny images take as much memory as 1,000."""
    peaks = []
    for count in (1000, 10000):
        options = ["PSEUDO_LABELS.SHARD_SIZE", 250, "INPUT.MIN_SIZE_TEST", 32]
        command = [
            ROOT / "tools" / "free_mask.py",  # also shows that the shell works
            *flags(make_images(count, 32), tmp_path / f"{count}.json"),
        ]
        words = [sys.executable, "-W", "ignore", "-c", MEASURED, *command, *options]
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr[-2000:]
        peaks.append(float(done.stdout.rsplit("peak", 1)[1]))
        assert len(json.loads((tmp_path / f"{count}.json").read_text())["images"]) == count
    assert peaks[1] - peaks[0] < 30, peaks  # MB; the names of 9,000 images are about two
