"""``solo-d2 labels self-training`` with a tiny random SOLOv2."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.modeling import build_model
from solo_d2.config.loading import load_config

CONFIG = Path(__file__).resolve().parents[3] / "configs" / "quick" / "solov2_tiny.yaml"
# A random model's scores are low; thresholds that let some pass.
OPTIONS = [
    "INPUT.MIN_SIZE_TEST", "64", "MODEL.SOLOV2.SCORE_THR", "0.0", "MODEL.SOLOV2.UPDATE_THR", "0.0",
    "PSEUDO_LABELS.UPDATE_THR", "0.0", "PSEUDO_LABELS.MAX_PER_IMG", "3", "PSEUDO_LABELS.MAX_BOX_WIDTH", "1.1",
]  # fmt: skip


@pytest.fixture
def run(run_command, tmp_path):
    torch.manual_seed(0)
    torch.save({"model": build_model(load_config(CONFIG)).state_dict()}, tmp_path / "model.pth")
    (tmp_path / "images").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")

    def call(*options):
        flags = [
            "--config-file",
            CONFIG,
            "--images",
            tmp_path / "images",
            "--output",
            tmp_path / "labels.json",
        ]
        opts = ["--opts", "MODEL.WEIGHTS", tmp_path / "model.pth", *OPTIONS, *options]
        run_command("labels self-training", *flags, *opts)
        return json.loads((tmp_path / "labels.json").read_text())

    return call


def test_predictions_become_labels_of_one_class(run):
    content = run()
    assert content["categories"] == [{"id": 1, "name": "object"}] and len(content["images"]) == 3
    assert {one["category_id"] for one in content["annotations"]} == {1}
    for image in content["images"]:
        scores = [one["score"] for one in content["annotations"] if one["image_id"] == image["id"]]
        assert len(scores) <= 3 and scores == sorted(scores, reverse=True)


def test_boxes_are_no_labels(run, capsys):
    with pytest.raises(SystemExit):
        run("TEST.BOX_ONLY", "True")
    assert "boxes without masks" in capsys.readouterr().err
