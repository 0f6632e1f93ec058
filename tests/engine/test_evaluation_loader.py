import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.data import DatasetCatalog
from detectron2.evaluation import inference_on_dataset
from detectron2.structures import BitMasks, Instances
from solo_d2.engine.evaluation_loader import (
    EvaluationLoader,
    SkippedImage,
    SkippingMapper,
    build_test_loader,
)
from solo_d2.engine.trainer import Trainer
from solo_d2.utils.errors import InputError


def test_every_image_once_in_order(tiny_cfg):
    batches = list(build_test_loader(tiny_cfg, "tiny_val"))
    assert [[item["image_id"] for item in batch] for batch in batches] == [[0], [1], [2]]
    assert batches[0][0]["image"].shape == (3, 32, 32)
    assert (batches[0][0]["height"], batches[0][0]["width"]) == (32, 32)


@pytest.mark.parametrize("content", ["text", "truncated", "deep", "missing", "size"])
def test_unusable_image_is_named(tiny_cfg, tmp_path, content):
    record = dict(DatasetCatalog.get("tiny_val")[0])
    path = tmp_path / "broken.png"
    if content == "text":
        path.write_text("no image")
    elif content == "truncated":
        shutil.copy(record["file_name"], path)
        path.write_bytes(path.read_bytes()[:60])
    elif content == "deep":
        Image.fromarray(np.full((32, 32), 900, np.uint16)).save(path)
    elif content == "size":
        Image.new("RGB", (32, 31)).save(path)
    record["file_name"] = str(path)
    skipped = SkippingMapper(tiny_cfg)(record)
    assert isinstance(skipped, SkippedImage)
    assert "broken.png" in skipped.reason and "\n" not in skipped.reason


def loader_of(*batches):
    return EvaluationLoader(batches, "some_val", sum(map(len, batches)))


SKIPPED = SkippedImage("image x.png cannot be read: why")


def test_skipped_images_are_named_and_counted(caplog):
    usable = {"image_id": 1}
    with caplog.at_level(logging.WARNING):
        batches = list(loader_of([usable, SKIPPED], [usable], [usable] * 8 + [SKIPPED], [usable] * 9))
    assert [len(batch) for batch in batches] == [1, 1, 8, 9]
    assert sum("skipped in the evaluation on some_val: image x.png" in line for line in caplog.messages) == 2
    assert "some_val: 2 of 21 images could not be used" in caplog.text


def test_a_batch_of_skipped_images_alone_is_left_out():
    assert list(loader_of([SKIPPED], [{"image_id": 1}])) == [[{"image_id": 1}]]


@pytest.mark.parametrize(
    "batches", [[[SKIPPED]], [[SKIPPED, {}], [SKIPPED]], [[{}] * 18 + [SKIPPED] * 3], [[SKIPPED], [SKIPPED]]]
)
def test_too_many_end_the_evaluation(batches):
    with pytest.raises(InputError, match="images of some_val cannot be evaluated, the last: image x.png"):
        list(loader_of(*batches))


def bright_pixels(inputs):
    """A perfect model of the tiny data."""
    masks = [sample["image"][:1] > 100 for sample in inputs]
    return [
        {
            "instances": Instances(
                tuple(mask.shape[1:]),
                pred_masks=mask,
                pred_boxes=BitMasks(mask).get_bounding_boxes(),
                pred_classes=torch.tensor([0]),
                scores=torch.tensor([0.9]),
            )
        }
        for mask in masks
    ]


@pytest.mark.parametrize("class_agnostic", [False, True])
def test_objects_of_a_skipped_image_do_not_count_as_missed(tiny_cfg, class_agnostic):
    tiny_cfg.TEST.CLASS_AGNOSTIC = class_agnostic
    path = Path(DatasetCatalog.get("tiny_val")[1]["file_name"])
    whole = path.read_bytes()
    path.write_bytes(whole[:60])
    try:
        loader = build_test_loader(tiny_cfg, "tiny_val")
        evaluator = Trainer.build_evaluator(tiny_cfg, "tiny_val")
        results = inference_on_dataset(bright_pixels, loader, evaluator)
    finally:
        path.write_bytes(whole)
    assert len(loader) == 3 and results["segm"]["AP"] == pytest.approx(100)
