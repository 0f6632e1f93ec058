"""COCO files made by chance: each is trained and measured on, or refused in one line.

No sound record is lost, and the truth as result has an AP of 100.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, BoxMode, Instances
from solo_d2.commands.dispatch import run_command
from solo_d2.data.datasets import register_unlabelled
from solo_d2.data.datasets.coco_format import read_classes
from solo_d2.data.loader import default_mapper
from solo_d2.engine.run_config import build_cfg, build_parser
from solo_d2.engine.trainer import Trainer
from solo_d2.structures.coco_masks import pack
from solo_d2.utils.json_values import whole_number
from tests.fuzz.annotation_files import CLASSES, HEIGHT, WIDTH, changed, good_content, write_images
from tests.fuzz.cases import RUN, changed_file, few_and_many, outcome, run_cases

# Commands that read annotation files, too; {} is the test's folder.
OTHER_DOORS = [
    "analyze dataset --json {}/own.json --images {}/images",
    "data split --json {}/own.json --by images --fraction 0.5 --output {}/out/part.json",
    "data split --json {}/own.json --by masks --fraction 0.5 --output {}/out/part.json",
    "list images",
    "read classes",
]
OPTIONS = [[], [], ["TEST.CLASS_AGNOSTIC", True], ["TEST.BOX_ONLY", True]]


def other_door(command: str, folder: Path) -> None:
    """Runs another reader of ``own.json``."""
    if command == "list images":
        register_unlabelled("own_images", folder / "own.json", folder / "images")
    elif command == "read classes":
        read_classes(folder / "own.json")
    else:
        name, flags = command.format(*[folder] * command.count("{}")).split(" --", 1)
        run_command(name, f"--{flags}".split())


@pytest.fixture
def own_run(run_folder):
    """Returns ``run(text, role, options, door)``, one case; its files are good except for one JSON."""
    write_images(run_folder / "images")
    (run_folder / "good.json").write_text(json.dumps(good_content()))

    def run(text: bytes, role: str, options: list, door: str):
        (run_folder / "own.json").write_bytes(text)
        outcome(lambda: other_door(door, run_folder) or "read", run_folder)
        flags = []
        for part in ("train", "val"):
            name = "own.json" if role in (part, "both") else "good.json"
            flags += [f"--{part}-json", run_folder / name, f"--{part}-images", run_folder / "images"]
        arguments = build_parser().parse_args(
            [str(word) for word in [*flags, *RUN, "MODEL.META_ARCHITECTURE", "SOLOv2", *options]]
        )
        return outcome(lambda: doors(arguments), run_folder)

    return run


def doors(arguments) -> tuple:
    """Takes a run's data through its loaders, mappers and evaluators; the model's results are the truth."""
    cfg = build_cfg(arguments)
    batch = next(iter(Trainer.build_train_loader(cfg)))
    assert len(batch) == 2
    truth = {record["image_id"]: record for record in DatasetCatalog.get("custom_val")}
    evaluator = Trainer.build_evaluator(cfg, "custom_val")
    evaluator.reset()
    for samples in Trainer.build_test_loader(cfg, "custom_val"):
        evaluator.process(samples, [{"instances": perfect(truth[one["image_id"]])} for one in samples])
    return cfg, evaluator.evaluate()


def perfect(record: dict) -> Instances:
    """Returns a record's objects as results."""
    instances = Instances((record["height"], record["width"]))
    objects = [one for one in record["annotations"] if not one["iscrowd"]]
    corners = [BoxMode.convert(one["bbox"], BoxMode.XYWH_ABS, BoxMode.XYXY_ABS) for one in objects]
    instances.pred_boxes = Boxes(torch.tensor(corners, dtype=torch.float64).reshape(-1, 4))
    instances.scores = torch.ones(len(objects))
    instances.pred_classes = torch.tensor([one["category_id"] for one in objects], dtype=torch.int64)
    masks = [decode(one, record) for one in objects]
    instances.pred_masks = torch.from_numpy(np.array(masks).reshape(-1, record["height"], record["width"]))
    return instances


def decode(one: dict, record: dict) -> np.ndarray:
    """Returns an annotation's mask, or that of its box, (H, W) bool."""
    left, top, wide, high = one["bbox"]
    box = [[left, top, left + wide, top, left + wide, top + high, left, top + high]]
    packed = pack(one.get("segmentation", box), record["height"], record["width"])
    return coco_mask.decode(packed).astype(bool)


def check_records(cfg, name: str, source: dict) -> None:
    """Checks that records are sane, and that the evaluators' file has the same, in ids they compute with."""
    metadata, records = MetadataCatalog.get(name), DatasetCatalog.get(name)
    mapper = default_mapper(cfg, records)
    for record in records:
        size = (WIDTH, HEIGHT) if record["file_name"].endswith("lying.jpg") else (HEIGHT, WIDTH)
        assert (record["height"], record["width"]) == size and Path(record["file_name"]).is_file()
        for one in record["annotations"]:
            assert 0 <= one["category_id"] < len(metadata.thing_classes) and one["iscrowd"] in (0, 1)
            assert decode(one, record).any() or "segmentation" not in one
            assert len(one["bbox"]) == 4 and np.isfinite(one["bbox"]).all() and min(one["bbox"][2:]) > 0
        boxes_only = not all("segmentation" in one for one in record["annotations"])  # not for training
        if boxes_only or record["file_name"].endswith("cut.png"):
            continue
        sample = mapper(record)
        assert len(sample["instances"]) <= len(record["annotations"])
        assert sample["instances"].gt_masks.tensor.shape[1:] == sample["image"].shape[1:]
    content = json.loads(Path(metadata.json_file).read_text())
    ids = [one["id"] for one in content.get("annotations", [])]
    assert len(set(ids)) == len(ids) and all(type(one) is int and 0 < one <= 2**53 for one in ids)
    assert len(ids) == sum(len(record["annotations"]) for record in records)
    images = {one["id"]: one for one in content["images"]}
    assert list(images) == [one["id"] for one in content["images"]] and len(images) == len(records)
    assert all(type(one) is int and 0 <= one <= 2**53 for one in images)
    originals = metadata.get("original_ids", {}).get("image_id", {one: one for one in images})
    listed = [(one.get("id"), one.get("file_name")) for one in source["images"] if isinstance(one, dict)]
    spelled = {json.dumps([whole_number(number), str(path).replace("\\", "/")]) for number, path in listed}
    for key, one in images.items():
        assert json.dumps([whole_number(originals[key]), one["file_name"].replace("\\", "/")]) in spelled


def check_nothing_lost(name: str, content: dict) -> None:
    """Checks that records as sound as those of the good file are all in the data set, with class and mask."""
    good, metadata = good_content(), MetadataCatalog.get(name)
    originals = metadata.get("original_ids", {}).get("image_id", {})
    found: dict = {}
    for record in DatasetCatalog.get(name):
        number = originals.get(record["image_id"], record["image_id"])
        for one in record["annotations"]:
            label = (json.dumps(number), metadata.thing_classes[one["category_id"]])
            found.setdefault(label, []).append(decode(one, record))
    images = {one["id"]: one for one in good["images"] if is_sound(one, content["images"], "file_name")}
    classes = [one["id"] for one in good["categories"] if is_sound(one, content["categories"], "name")]
    learned = MetadataCatalog.get("custom_train").thing_classes  # objects of others are left out
    classes = [number for number in classes if CLASSES[number] in learned]
    given = [json.dumps(one) for one in content.get("annotations", [])]
    for one in good["annotations"]:
        if json.dumps(one) in given and one["image_id"] in images and one["category_id"] in classes:
            masks = found.get((json.dumps(one["image_id"]), CLASSES[one["category_id"]]), [])
            image = images[one["image_id"]]
            size = image["height"], image["width"]
            wanted = decode(one, image)
            assert any((mask == wanted).all() for mask in masks if mask.shape == size), one


def is_sound(one: dict, records: list, key: str) -> bool:
    """Returns True if a record of the good file is among others, and none of those has its id or name."""
    others = [other for other in records if isinstance(other, dict)]
    same_id = [other for other in others if whole_number(other.get("id")) == one["id"]]
    same_name = [other for other in others if other.get(key) == one[key]]
    return json.dumps([same_id, same_name]) == json.dumps([[one], [one]])


def check_measures(results: dict, name: str) -> None:
    """Checks that the truth as result is perfect."""
    objects = [
        one for record in DatasetCatalog.get(name) for one in record["annotations"] if not one["iscrowd"]
    ]
    for task, metrics in results.items():
        if objects:
            assert metrics["AP"] == pytest.approx(100), (task, metrics)
        else:
            assert math.isnan(metrics["AP"])


@few_and_many(100, 1000)
def test_annotation_files(own_run, count):
    ended = []

    def one_case(data):
        content = good_content()
        text = changed_file(content, changed, data)
        role = data.draw(st.sampled_from(["both", "both", "train", "val"]))
        options = ["DATASETS.CUSTOM.MAX_SKIPPED", 1.0] if data.draw(st.integers(0, 3)) else []
        options = options + data.draw(st.sampled_from(OPTIONS))
        result, line = own_run(text, role, options, data.draw(st.sampled_from(OTHER_DOORS)))
        ended.append(line)
        if result is None:
            return
        for name in ("custom_train", "custom_val"):
            source = content if role in (name.removeprefix("custom_"), "both") else good_content()
            check_records(result[0], name, source)
            check_nothing_lost(name, source)
        check_measures(result[1], "custom_val")

    run_cases(count, one_case)
    assert 0.2 < ended.count("") / len(ended) < 0.8  # neither all good nor all refused
