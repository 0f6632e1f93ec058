"""Command lines that lack something: one line says what, and what it advises works."""

import json
from pathlib import Path

import pytest
import torch

from detectron2.data import DatasetCatalog, MetadataCatalog
from solo_d2.config.loading import flatten
from solo_d2.data.datasets import register_coco_format
from solo_d2.engine import own_data
from solo_d2.engine.run_config import build_cfg, build_parser
from solo_d2.utils.errors import InputError


def build(tmp_path, *arguments):
    given = [*arguments, "OUTPUT_DIR", tmp_path / "out"]
    return build_cfg(build_parser().parse_args([str(argument) for argument in given]))


def own(split, files):
    return [f"--{split}-json", files.json, f"--{split}-images", files.images]


@pytest.mark.parametrize(
    ("config", "method"), [("quick/photos", "CondInst"), ("quick/solov2_nuclei", "SOLOv2")]
)
def test_own_data_need_no_config(tiny_files, tmp_path, monkeypatch, config, method):
    """Weights from ImageNet are used if their package is installed."""
    monkeypatch.setattr(own_data, "find_spec", lambda name: config == "quick/photos" or None)
    cfg = build(tmp_path, *own("train", tiny_files.train))
    assert cfg.MODEL.META_ARCHITECTURE == method
    assert cfg.DATASETS.TRAIN == ("custom_train",) and cfg.DATASETS.TEST == ()
    assert f"no --config-file: using {config}" in (tmp_path / "out" / "log.txt").read_text()
    named = build(tmp_path, "--config-file", config, *own("train", tiny_files.train), "DATASETS.TEST", "()")
    changed = {key for key, value in flatten(cfg).items() if flatten(named)[key] != value}
    assert {key.rpartition(".")[2] for key in changed} <= {
        *("MIN_SIZE_TRAIN", "MAX_SIZE_TRAIN", "MAX_SIZE_TEST", "FPN_SCALE_RANGES")
    }
    cfg = build(tmp_path, *own("train", tiny_files.train), *own("val", tiny_files.val))
    assert cfg.DATASETS.TEST == ("custom_val",)


def test_the_default_config_fits_the_kind_of_data(tiny_files, panoptic_set, tmp_path):
    cfg = build(tmp_path, *own("train", panoptic_set), "--train-panoptic", panoptic_set.panoptic)
    assert cfg.MODEL.META_ARCHITECTURE == "PanopticSOLOv2"
    cfg = build(tmp_path, "--train-unlabelled", tiny_files.train.images)
    assert cfg.MODEL.META_ARCHITECTURE == "DenseCL"


def test_weights_to_evaluate_need_their_config(tiny_files, tmp_path):
    torch.save({"model": {}}, tmp_path / "model.pth")
    weights = ["MODEL.WEIGHTS", tmp_path / "model.pth"]
    trained = build(tmp_path, *own("train", tiny_files.train))
    with pytest.raises(InputError, match="--eval-only needs .*--config-file OUTPUT_DIR/config.yaml"):
        build(tmp_path, "--eval-only", *own("val", tiny_files.val), *weights)
    (tmp_path / "config.yaml").write_text(trained.dump())
    config = ["--config-file", tmp_path / "config.yaml"]
    cfg = build(tmp_path, "--eval-only", *config, *own("val", tiny_files.val), *weights)
    assert cfg.DATASETS.TEST == ("custom_val",)


@pytest.fixture
def other_classes(tiny_files, tmp_path):
    """Registers a data set with other classes than ``tiny_files`` has."""
    content = json.loads(Path(tiny_files.val.json).read_text())
    content["categories"][0]["name"] = "other"
    (tmp_path / "other.json").write_text(json.dumps(content))
    register_coco_format("other_classes", tmp_path / "other.json", tiny_files.val.images, tmp_path)
    yield "other_classes"
    DatasetCatalog.remove("other_classes")
    MetadataCatalog.remove("other_classes")


@pytest.mark.parametrize("configured", ["coco_2017_val", "other_classes"])
def test_training_data_without_validation_data(tiny_files, tmp_path, monkeypatch, other_classes, configured):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    (tmp_path / "c.yaml").write_text(
        f"MODEL: {{META_ARCHITECTURE: SOLOv2}}\nDATASETS: {{TEST: ['{configured}']}}\n"
    )
    flags = ["--config-file", tmp_path / "c.yaml", *own("train", tiny_files.train)]
    advice = r"give --val-json and --val-images, or DATASETS.TEST '\(\)' to train without evaluation"
    with pytest.raises(InputError, match=f"{advice}.*{configured}"):
        build(tmp_path, *flags)
    assert build(tmp_path, *flags, "DATASETS.TEST", "()").DATASETS.TEST == ()
    assert build(tmp_path, *flags, *own("val", tiny_files.val)).DATASETS.TEST == ("custom_val",)


@pytest.mark.parametrize(
    ("key", "value", "advice"),
    [
        ("MAX_ITER", "0", "a training has at least 1 iteration; --eval-only evaluates"),
        ("MAX_ITER", "-5", "a training has at least 1 iteration; --eval-only evaluates"),
        ("CHECKPOINT_MAX_TO_KEEP", "-1", "at least 0, which keeps all"),
        ("BASE_LR", "0.0", "give a positive number"),
        ("BASE_LR", "float('nan')", "BASE_LR"),
        ("BASE_LR", "-0.1", "give a positive number"),
        ("BASE_LR", "1e999", "give a positive number"),
        ("IMS_PER_BATCH", "0", "it must be at least 1"),
    ],
)
def test_a_training_that_cannot_learn(tiny_files, tmp_path, key, value, advice):
    data = [*own("train", tiny_files.train), *own("val", tiny_files.val)]
    with pytest.raises(InputError, match=f"^SOLVER.{key} .*{advice}"):
        build(tmp_path, *data, f"SOLVER.{key}", value)
    (tmp_path / "model.pth").touch()
    config = ["--config-file", "quick/solov2_nuclei", "--eval-only"]
    build(tmp_path, *config, *data, "MODEL.WEIGHTS", tmp_path / "model.pth", "SOLVER.MAX_ITER", 0)
    build(tmp_path, *data, "SOLVER.MAX_ITER", 1, "SOLVER.BASE_LR", 0.001, "SOLVER.IMS_PER_BATCH", 1)


@pytest.mark.parametrize(
    ("kept", "line"), [(0, "no thing classes .isthing 1"), (1, "no stuff classes .isthing 0")]
)
def test_panoptic_data_of_one_kind(panoptic_set, tmp_path, kept, line):
    flags = [*own("train", panoptic_set), "--train-panoptic", panoptic_set.panoptic]
    build(tmp_path, *flags)
    content = panoptic_set.content
    content["categories"] = [one for one in content["categories"] if one["isthing"] == kept]
    known = {one["id"] for one in content["categories"]}
    for annotation in content["annotations"]:
        annotation["segments_info"] = [s for s in annotation["segments_info"] if s["category_id"] in known]
    panoptic_set.write(content)
    with pytest.raises(InputError, match=f"{line}.: a panoptic model needs things and stuff"):
        build(tmp_path, *flags)
