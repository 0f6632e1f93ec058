from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.modeling import build_model
from solo_d2.export.backbone import as_checkpoint, backbone_weights
from solo_d2.predictor import load_config

CONFIG = Path(__file__).resolve().parents[3] / "configs" / "quick" / "densecl_tiny.yaml"
OPTIONS = ["MODEL.DENSECL.HIDDEN_DIM", "16", "MODEL.DENSECL.QUEUE_SIZE", "8", "INPUT.VIEWS.SIZE", "96"]


@pytest.fixture
def run(run_command, tmp_path):
    torch.manual_seed(0)
    model = build_model(load_config(CONFIG, OPTIONS))
    torch.save({"model": model.state_dict()}, tmp_path / "model.pth")
    torch.save(as_checkpoint(backbone_weights(model.state_dict())), tmp_path / "backbone.pth")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8)).save(tmp_path / "a.png")

    def call(weights, *arguments):
        options = ["--opts", *OPTIONS, *(["MODEL.WEIGHTS", tmp_path / weights] if weights else [])]
        flags = ["--config-file", CONFIG, "--input", tmp_path / "a.png", "--output", tmp_path / "out"]
        run_command("visualize correspondences", *flags, *arguments, *options)

    return call


def test_pictures_from_a_checkpoint_and_from_an_exported_backbone(run, tmp_path, capsys):
    said = []
    for weights in ("model.pth", "backbone.pth"):
        run(weights, "--threshold", "-1")
        said.append(capsys.readouterr().out)
        with Image.open(tmp_path / "out" / "a_correspondences.jpg") as picture:
            assert picture.width > 2 * picture.height * 0.99 and picture.height >= 96
    assert said[0] == said[1] and "of 9 cells match" in said[0]
    assert not said[0].split(": ")[1].startswith("0 ")


def test_threshold_and_seed(run, tmp_path, capsys):
    run("model.pth", "--threshold", "1", "--seed", "1")
    assert "0 of 9 cells match" in capsys.readouterr().out


def test_equal_names_stay_apart(run, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "other" / "a.png")
    run("model.pth", "--input", tmp_path / "a.png", tmp_path / "other" / "a.png")
    written = [Path(line.partition(": ")[0]) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in written] == ["a_correspondences.jpg", "a_2_correspondences.jpg"]
    assert all(path.is_file() for path in written)


def test_weights_for_other_pixels_are_reported(run, tmp_path, caplog):
    content = torch.load(tmp_path / "backbone.pth", weights_only=True)
    torch.save({**content, "preprocessing": {"channels": "BGR"}}, tmp_path / "bgr.pth")
    with caplog.at_level("WARNING"):
        run("bgr.pth")
    assert "INPUT.FORMAT is RGB, these weights want BGR" in caplog.text


def test_mistakes_are_one_line(run, run_command, tmp_path, capsys):
    with pytest.raises(SystemExit) as info:
        run("")
    error = capsys.readouterr().err
    assert info.value.code == 2 and "no weights" in error and error.count("\n") == 1
    with pytest.raises(SystemExit):
        run_command(
            "visualize correspondences", "--config-file", CONFIG.with_name("solov2_tiny.yaml"), "--input", "a"
        )
    assert "by a DenseCL config, not SOLOv2" in capsys.readouterr().err
