"""A trained model knows its classes: only its weight file and config go to another folder."""

import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.data import DatasetCatalog
from solo_d2 import Predictor
from solo_d2.commands.dispatch import main
from solo_d2.data.datasets.catalogs import forget_dataset
from solo_d2.engine.cli import run_cli
from solo_d2.scenes import generate_scenes

SIDE = 64
# In the order of the model, which is that of the ids.
CLASSES = {"cow": -4, "zebra": 7, "ape": 2**63 + 5}
IMAGE_IDS = ("b", -7, 2**64, "0001")
TINY = (
    "INPUT.MIN_SIZE_TRAIN (64,) INPUT.MIN_SIZE_TEST 64 SOLVER.IMS_PER_BATCH 2 SOLVER.WARMUP_ITERS 0 SEED 1 "
    "SOLVER.MAX_ITER 2 SOLVER.EMA.ENABLED True DATALOADER.NUM_WORKERS 0 TEST.VIS_IMAGES 0 TEST.EVAL_PERIOD 1 "
    "MODEL.SOLOV2.SCORE_THR 0.0 MODEL.SOLOV2.UPDATE_THR 0.0 MODEL.SOLOV2.MASK_THR 0.1 "
    "MODEL.SOLOV2.MAX_PER_IMG 20 MODEL.DEVICE cpu TEST.BEST_METRIC segm/AP50"
).split()


@pytest.fixture(scope="module")
def call():
    """``call("train", ...)`` runs ``solo-d2 train ...`` in this process."""
    with pytest.MonkeyPatch.context() as patch:

        def run(*arguments):
            patch.setattr(sys, "argv", ["solo-d2", *map(str, arguments)])
            run_cli(main)

        yield run


def write_set(folder, classes, image_ids=IMAGE_IDS, per_image=2):
    """Writes noisy pictures with boxes of all classes in turn; ids by class name. Returns the JSON file."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    generator, images, annotations = np.random.default_rng(0), [], []
    names = list(classes)
    for place, number in enumerate(image_ids):
        pixels = generator.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        for index in range(per_image):
            left = 2 + 30 * index
            pixels[10:40, left : left + 24] = 60 * (place + index)
            polygon = [left, 10, left + 24, 10, left + 24, 40, left, 40]
            category = classes[names[(place + index) % len(names)]]
            annotation = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": category,
                "iscrowd": 0,
            }
            annotations.append(
                annotation | {"bbox": [left, 10, 24, 30], "area": 720, "segmentation": [polygon]}
            )
        Image.fromarray(pixels).save(folder / "images" / f"{place}.png")
        images.append({"id": number, "file_name": f"{place}.png", "height": SIDE, "width": SIDE})
    categories = [{"id": number, "name": name} for name, number in classes.items()]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path = folder / f"{'_'.join(classes)}.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def trained(call, tmp_path_factory):
    """``.folder`` is that of a training, ``.other`` has only its weights and config, ``.data`` pictures."""
    root = tmp_path_factory.mktemp("training")
    data = root / "data"
    write_set(data, CLASSES)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)  # the config's paths are relative to it
        sets = [f"--{part}-{kind}" for part in ("train", "val") for kind in ("json", "images")]
        paths = ["data/cow_zebra_ape.json", "data/images"] * 2
        flags = [text for pair in zip(sets, paths, strict=True) for text in pair]
        call("train", "--config-file", "quick/solov2_tiny", *flags, *TINY, "OUTPUT_DIR", "out")
    other = tmp_path_factory.mktemp("elsewhere")
    for name in ("model_final.pth", "config.yaml"):
        shutil.copy(root / "out" / name, other)
    return SimpleNamespace(folder=root / "out", other=other, data=data)


@pytest.fixture
def elsewhere(trained, monkeypatch):
    """The folder without the training data is the current one; a file of the same name as theirs misleads."""
    monkeypatch.chdir(trained.other)
    write_set(trained.other / "data", {"x": 1, "y": 2, "z": 3})
    shutil.move(trained.other / "data" / "x_y_z.json", trained.other / "data" / "cow_zebra_ape.json")
    return trained.other


def test_every_checkpoint_has_the_classes(trained):
    names = {path.name for path in trained.folder.glob("*.pth")}
    assert {"model_final.pth", "model_final_ema.pth", "model_best.pth"} <= names
    assert any(name.startswith("resume_") for name in names)
    expected = [{"id": number, "name": name, "isthing": 1} for name, number in CLASSES.items()]
    for name in names:
        assert torch.load(trained.folder / name, weights_only=True)["model_card"]["categories"] == expected


def test_results_have_ids_and_names_of_the_training(call, trained, elsewhere):
    for config in ("config.yaml", "quick/solov2_tiny"):
        predictor = Predictor(config, weights="model_final.pth", opts=TINY)
        assert predictor.class_names == list(CLASSES)
        assert predictor.category_ids == dict(enumerate(CLASSES.values()))
        assert predictor.metadata.thing_classes == list(CLASSES)
    call(
        "predict", "--config-file", "config.yaml", "--input", trained.data / "images", "--output", "drawn",
        "--json", "r.json", "--confidence-threshold", 0, "--opts", "MODEL.WEIGHTS", "model_final.pth",
    )  # fmt: skip
    rows = json.loads(Path("r.json").read_text())
    found = predictor(trained.data / "images" / "0.png").pred_classes.tolist()
    first = [row["category_id"] for row in rows if row["file_name"] == "0.png"]
    assert first == [predictor.category_ids[index] for index in found] and len(set(first)) > 1


def test_data_sets_of_the_user_win(elsewhere):
    options = [*TINY, "DATASETS.CUSTOM.TRAIN_JSON", "data/cow_zebra_ape.json"]
    predictor = Predictor("config.yaml", weights="model_final.pth", opts=options)
    assert predictor.class_names == ["x", "y", "z"] and predictor.category_ids == {0: 1, 1: 2, 2: 3}
    agnostic = Predictor("config.yaml", "model_final.pth", opts=["TEST.CLASS_AGNOSTIC", "True"])
    assert agnostic.class_names == ["object"] * 3


@pytest.fixture
def evaluate(call, trained, elsewhere):
    """``evaluate({name: id})`` returns the rows as (image id, class name, score) and the metrics."""

    def run(classes, *options, config="config.yaml", weights="model_final.pth", used=None):
        json_file = write_set(trained.data, classes)
        call(
            "eval", "--config-file", config, "--val-json", json_file, "--val-images", trained.data / "images",
            "MODEL.WEIGHTS", weights, "OUTPUT_DIR", "evaluated", *TINY, *options,
        )  # fmt: skip
        rows = json.loads(Path("evaluated/inference/coco_instances_results.json").read_text())
        names = {number: name for name, number in classes.items()}
        metrics = json.loads(Path("evaluated/evaluation.json").read_text())
        found = sorted((str(row["image_id"]), names[row["category_id"]], row["score"]) for row in rows)
        return found, metrics

    return run


@pytest.mark.parametrize("config", ["config.yaml", pytest.param("quick/solov2_tiny", marks=pytest.mark.slow)])
def test_validation_files_are_matched_by_name(evaluate, capsys, config):
    rows, _ = evaluate(CLASSES, config=config)
    assert {image for image, *_ in rows} == set(map(str, IMAGE_IDS))
    assert {name for _, name, _ in rows} > {"cow"}
    assert evaluate({"ape": "12", "cow": "b", "zebra": "7"}, config=config)[0] == rows
    assert evaluate({"ape": "12", "cow": "3", "zebra": "007"}, config=config)[0] == rows
    fewer, metrics = evaluate({"zebra": 9, "cow": 4}, config=config)
    assert "2 of the model's 3 classes are evaluated, without 'ape'" in capsys.readouterr().out
    assert fewer == [row for row in rows if row[1] != "ape"]
    assert metrics["segm/AP-ape"] is None and metrics["segm/AP-cow"] is not None
    more, metrics = evaluate({"emu": 1, "cow": 4, "ape": 3, "zebra": 2}, config=config)
    assert "does not know are left out: 'emu'" in capsys.readouterr().out
    assert more == rows and "segm/AP-emu" not in metrics


@pytest.mark.parametrize(
    ("classes", "options", "line"),
    [
        (
            {"Cow": 1, "zebra": 2, "ape": 3},
            [],
            r"Cow_zebra_ape.json and the model have different classes: the model has 'cow', which .* lacks; "
            r"Cow_zebra_ape.json has 'Cow', which the model lacks; correct the names",
        ),
        (
            CLASSES,
            ["MODEL.SOLOV2.NUM_CLASSES", 5],
            "NUM_CLASSES 5 on the command line contradicts the weight file, which has 3",
        ),
    ],
)
def test_contradictions_are_one_line(evaluate, capsys, classes, options, line):
    with pytest.raises(SystemExit):
        evaluate(classes, *options)
    (error,) = [text for text in capsys.readouterr().err.splitlines() if text.startswith("error: ")]
    assert re.search(line, error)


def test_a_registered_set_of_other_classes_is_one_line(call, elsewhere, capsys, tmp_path, monkeypatch):
    generate_scenes(tmp_path / "scenes", num_train=1, num_val=1, size=64, workers=0)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    for name in [name for name in DatasetCatalog if name.startswith("scenes_")]:
        forget_dataset(name)
    with pytest.raises(SystemExit):
        call("eval", "--config-file", "quick/solov2_tiny", "MODEL.WEIGHTS", "model_final.pth", *TINY)
    line = (
        "the model and scenes_val have different classes: the model has 'cow', 'zebra', 'ape', which scenes"
    )
    assert line in capsys.readouterr().err


@pytest.mark.slow
def test_converted_files_keep_the_classes(call, evaluate):
    call("convert", "--input", "model_final.pth", "--output", "m.safetensors")
    rows, _ = evaluate({"ape": 1, "cow": 2, "zebra": 3}, weights="m.safetensors")
    assert rows == evaluate({"ape": 1, "cow": 2, "zebra": 3})[0]


def test_a_new_training_has_the_classes_of_its_own_data(call, trained, elsewhere, capsys):
    json_file = write_set(trained.data, {"ox": 1, "cat": 2, "bee": 3})
    call(
        "train", "--config-file", "quick/solov2_tiny", "--train-json", json_file, "--train-images",
        trained.data / "images", "MODEL.WEIGHTS", "model_final.pth", *TINY, "SOLVER.MAX_ITER", 1,
        "DATASETS.TEST", "()", "OUTPUT_DIR", "tuned",
    )  # fmt: skip
    assert "trained on other classes, which a new training replaces: " in capsys.readouterr().out
    assert Predictor("tuned/config.yaml", "tuned/model_final.pth").class_names == ["ox", "cat", "bee"]


def test_resuming_with_other_classes_is_one_line(call, trained, elsewhere, capsys):
    json_file = write_set(trained.data, {"cow": 1, "ape": 2, "zebra": 3})
    shutil.copytree(trained.folder, "again")
    with pytest.raises(SystemExit):
        call(
            "train", "--resume", "--config-file", "quick/solov2_tiny", "--train-json", json_file,
            "--train-images", trained.data / "images", *TINY, "SOLVER.MAX_ITER", 3, "DATASETS.TEST", "()",
            "OUTPUT_DIR", "again",
        )  # fmt: skip
    line = r"trained on other classes \(class 1 is 'zebra' in resume_\d+.pth and 'ape' in the training data\)"
    assert re.search(line, capsys.readouterr().err)


def _renumbered(panoptic_set, numbers):
    """The set with these ids by class name, without classes that have none; its images have text ids."""
    content = json.loads(json.dumps(panoptic_set.content))
    own = {c["id"]: numbers[c["name"]] for c in content["categories"] if c["name"] in numbers}
    content["categories"] = [c | {"id": own[c["id"]]} for c in content["categories"] if c["id"] in own]
    for image, annotation in zip(content["images"], content["annotations"], strict=True):
        image["id"] = annotation["image_id"] = f"n{image['id']}"
        annotation["segments_info"] = [
            s | {"category_id": own[s["category_id"]]}
            for s in annotation["segments_info"]
            if s["category_id"] in own
        ]
    return content


@pytest.mark.slow
def test_panoptic_results_have_ids_and_names_of_their_file(call, panoptic_set, tmp_path, monkeypatch):
    options = [*TINY, "MODEL.PANOPTIC_FPN.COMBINE.INSTANCES_CONFIDENCE_THRESH", 0.0, "SOLVER.MAX_ITER", 1]
    options += ["MODEL.PANOPTIC_FPN.COMBINE.STUFF_AREA_LIMIT", 1, "SOLVER.EMA.ENABLED", "False"]
    options += ["MODEL.SOLOV2.MAX_PER_IMG", 2, "MODEL.SOLOV2.MASK_THR", 0.5]
    images = ["--train-images", panoptic_set.images, "--train-panoptic", panoptic_set.panoptic]
    call(
        "train", "--config-file", "quick/panoptic_solov2_tiny", "--train-json", panoptic_set.json, *images,
        *options, "DATASETS.TEST", "()", "OUTPUT_DIR", tmp_path / "out",
    )  # fmt: skip
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    for name in ("model_final.pth", "config.yaml"):
        shutil.move(tmp_path / "out" / name, name)
    Path(panoptic_set.json).unlink()
    predictor = Predictor("config.yaml", "model_final.pth")
    assert predictor.class_names == ["cat", "dog"] and predictor.category_ids == {0: 3, 1: 5}
    assert predictor.metadata.stuff_classes == ["things", "sky", "sea"]

    def evaluate(numbers):
        Path("val.json").write_text(json.dumps(_renumbered(panoptic_set, numbers)))
        call(
            "eval", "--config-file", "config.yaml", "--val-json", "val.json",
            "--val-images", panoptic_set.images, "--val-panoptic", panoptic_set.panoptic,
            "MODEL.WEIGHTS", "model_final.pth", *options,
        )  # fmt: skip
        found = json.loads(Path("evaluated/inference/predictions.json").read_text())["annotations"]
        names = {number: name for name, number in numbers.items()}
        kinds = {(a["image_id"], names[s["category_id"]]) for a in found for s in a["segments_info"]}
        return kinds, json.loads(Path("evaluated/evaluation.json").read_text())

    options += ["OUTPUT_DIR", "evaluated"]
    kinds, metrics = evaluate({"cat": 3, "dog": 5, "sky": 9, "sea": 11})
    assert {image for image, _ in kinds} == {"n1", "n2"} and len({name for _, name in kinds}) > 1, kinds
    again, others = evaluate({"sea": 3, "sky": 2, "dog": 1, "cat": 2**63})
    assert again == kinds and others == metrics
    assert evaluate({"sea": "03", "sky": "2", "dog": "1", "cat": "7"}) == (kinds, metrics)
    lacking = min(name for _, name in kinds)
    numbers = {
        name: number for number, name in enumerate(["sea", "dog", "cat", "sky"], start=4) if name != lacking
    }
    fewer, metrics = evaluate(numbers)
    assert fewer == {(image, name) for image, name in kinds if name != lacking}
    assert f"panoptic_seg/PQ-{lacking}" not in metrics and len(metrics) == len(others) - 3
