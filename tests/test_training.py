"""Training, evaluation and prediction in a Python program, as a user writes it."""

import importlib.util
import json
import logging
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import solo_d2
from detectron2.data import DatasetCatalog, MetadataCatalog
from solo_d2.config.loading import load_config
from solo_d2.data.datasets.catalogs import forget_dataset
from solo_d2.engine.interruption import Interrupted
from solo_d2.scenes import generate_scenes
from solo_d2.utils.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
CONFIG = "quick/solov2_tiny"
SMALL = [
    "INPUT.MIN_SIZE_TRAIN", (64,), "INPUT.MIN_SIZE_TEST", 64, "SOLVER.IMS_PER_BATCH", 2,
    "SOLVER.WARMUP_ITERS", 0, "SOLVER.MAX_ITER", 2, "DATALOADER.NUM_WORKERS", 0, "TEST.VIS_IMAGES", 0,
    "MODEL.DEVICE", "cpu", "MODEL.SOLOV2.SCORE_THR", 0.0, "MODEL.SOLOV2.UPDATE_THR", 0.0,
    "MODEL.SOLOV2.MASK_THR", 0.1, "SEED", 1,
]  # fmt: skip


def load_example(name):
    """Returns a program of examples/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """``.train`` and ``.val``: annotation file and image folder."""
    root = tmp_path_factory.mktemp("scenes")
    generate_scenes(root, num_train=4, num_val=2, size=64, workers=0)
    return SimpleNamespace(
        train=(root / "instances_train.json", root / "train" / "images"),
        val=(root / "instances_val.json", root / "val" / "images"),
    )


@pytest.fixture(scope="module")
def trained(scenes, tmp_path_factory):
    """A training's result."""
    output = tmp_path_factory.mktemp("trained") / "out"
    return load_example("own_data").main(scenes.train, scenes.val, str(output), SMALL)


def test_from_data_to_predictions(scenes, trained, tmp_path):
    assert trained.metrics == json.loads(Path(trained.output_dir, "evaluation.json").read_text())
    assert {"segm/AP", "bbox/AP"} <= set(trained.metrics)
    pictures = sorted(path.name for path in scenes.val[1].iterdir())
    assert sorted(path.name for path in Path(trained.output_dir, "pictures").iterdir()) == pictures
    assert trained.predictor().class_names == ["disc", "square", "triangle", "star", "ring"]
    again = solo_d2.evaluate(trained.config, trained.weights, data=scenes.val, output_dir=tmp_path / "again")
    assert again == pytest.approx(trained.metrics, nan_ok=True)


def test_label_files(scenes, trained, tmp_path):
    load_example("label_files").main(trained.config, trained.weights, str(scenes.val[1]), str(tmp_path), 0.0)
    rows = json.loads((tmp_path / "results.json").read_text())
    for number, path in enumerate(sorted(scenes.val[1].iterdir()), start=1):
        shapes = json.loads((tmp_path / f"{path.stem}.json").read_text())["shapes"]
        lines = (tmp_path / f"{path.stem}.txt").read_text().splitlines()
        found = [row["category_id"] for row in rows if row["image_id"] == number]
        assert found and len(lines) == len(found) <= len(shapes)


def test_registered_data_and_a_config_node(scenes, tmp_path):
    """In Detectron2's way, with a set of its own whose two classes the model gets."""
    records = [
        {"file_name": str(path), "image_id": index, "height": 64, "width": 64, "annotations": []}
        for index, path in enumerate(sorted(scenes.train[1].iterdir()))
    ]
    for record in records:
        polygon = [[5.0, 5.0, 40.0, 5.0, 40.0, 40.0, 5.0, 40.0]]
        box = {"bbox": [5.0, 5.0, 35.0, 35.0], "bbox_mode": 1, "iscrowd": 0}
        record["annotations"] = [{**box, "segmentation": polygon, "category_id": 1}]
    DatasetCatalog.register("mine", lambda: records)
    MetadataCatalog.get("mine").set(thing_classes=["left", "right"])
    try:
        cfg = load_config(CONFIG)
        result = solo_d2.train(cfg, train_data="mine", output_dir=tmp_path, opts=SMALL)
    finally:
        forget_dataset("mine")
    assert result.metrics == {} and load_config(result.config).MODEL.SOLOV2.NUM_CLASSES == 2
    card = torch.load(result.weights, weights_only=True)["model_card"]
    assert [category["name"] for category in card["categories"]] == ["left", "right"]
    assert cfg.MODEL.SOLOV2.NUM_CLASSES != 2, "the caller's config is left alone"


def test_a_training_is_resumed(scenes, trained, tmp_path, capfd):
    shutil.copytree(trained.output_dir, tmp_path / "out")
    (tmp_path / "out" / "log.txt").unlink()
    settings = {"train_data": scenes.train, "output_dir": tmp_path / "out"}
    longer = [*SMALL, "SOLVER.MAX_ITER", 3]
    again = solo_d2.train(CONFIG, **settings, opts=longer, resume=True)
    assert again.output_dir == str(tmp_path / "out")
    assert torch.load(again.weights, weights_only=True)["iteration"] == 2
    fresh = solo_d2.train(CONFIG, **settings, opts=SMALL)
    assert fresh.output_dir == str(tmp_path / "out_1"), "another training's folder is left alone"
    shown = capfd.readouterr().out.splitlines()
    assert len(shown) == len(set(shown)), "no line is repeated by handlers of earlier runs"
    started = [line for line in shown if "Training SOLOv2 on custom_train: " in line]
    assert len(started) == 2 and "3 iterations of 2 images on cpu" in started[0]
    logs = [Path(folder, "log.txt").read_text() for folder in (again.output_dir, fresh.output_dir)]
    assert [text.count("Training SOLOv2 on") for text in logs] == [1, 1]
    assert logging.getLogger("solo_d2").handlers == []


def test_what_is_shown(scenes, trained, tmp_path, capfd):
    """Not the environment, config and model, which the log has."""
    metrics = solo_d2.evaluate(trained.config, trained.weights, data=scenes.val, output_dir=tmp_path)
    shown = capfd.readouterr().out
    assert f"segm: AP {metrics['segm/AP']:.1f}" in shown and "segm by class: AP-disc" in shown
    assert len(shown.splitlines()) < 12, shown
    text = (tmp_path / "log.txt").read_text()
    assert "Running with full config" in text and "Model:" in text and "copypaste" in text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda data: solo_d2.train("quick/solov2_tin", train_data=data.train),
            "did you mean quick/solov2_tiny",
        ),
        (lambda data: solo_d2.train(CONFIG, train_data=("gone.json", "x")), r"gone\.json"),
        (
            lambda data: solo_d2.train(CONFIG, train_data=data.train[:1]),
            "give an annotation file and",
        ),
        (lambda data: solo_d2.train(CONFIG, train_data="unregistered"), "unregistered"),
        (lambda data: solo_d2.train(CONFIG, train_data=data.train, opts=["SEEED", 1]), "SEEED"),
        (lambda data: solo_d2.evaluate(CONFIG, "gone.pth", data=data.val), r"gone\.pth"),
        (lambda data: solo_d2.evaluate(CONFIG, data=data.val), "MODEL.WEIGHTS"),
    ],
)
def test_mistakes_are_exceptions(scenes, tmp_path, monkeypatch, call, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        call(scenes)
    assert "\n" not in str(caught.value)


def test_a_stopped_training_says_how_to_continue(scenes, tmp_path, monkeypatch):
    def stop(*arguments):
        raise Interrupted(signal.SIGINT, "x")

    monkeypatch.setattr("solo_d2.engine.run.train", stop)
    with pytest.raises(KeyboardInterrupt, match="resume=True and output_dir='.*out' continues"):
        solo_d2.train(CONFIG, train_data=scenes.train, output_dir=tmp_path / "out", opts=SMALL)


@pytest.mark.slow
def test_two_processes(scenes, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import solo_d2\nif __name__ == '__main__':\n"
        f"    data = {[tuple(map(str, part)) for part in (scenes.train, scenes.val)]!r}\n"
        f"    result = solo_d2.train({CONFIG!r}, train_data=data[0], val_data=data[1], num_gpus=2,\n"
        f"        output_dir='out', opts={SMALL!r})\n"
        "    print('AP', 'segm/AP' in result.metrics, result.output_dir)\n"
    )
    command = [sys.executable, "-W", "ignore", str(script)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout.endswith("AP True out\n"), done.stdout + done.stderr
