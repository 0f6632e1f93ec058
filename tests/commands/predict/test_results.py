"""COCO rows and files that are whole or not there."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as mask_api

from detectron2.data import Metadata
from detectron2.structures import Boxes, Instances
from solo_d2.commands.predict.results import category_ids, coco_rows, save_json, save_picture


def make_instances(count: int) -> Instances:
    found = Instances((6, 8))
    found.pred_masks = torch.zeros(count, 6, 8, dtype=torch.bool)
    found.pred_masks[:, 1:3, 2:7] = True
    found.pred_boxes = Boxes(torch.tensor([[2.0, 1.0, 7.0, 3.0]] * count).reshape(-1, 4))
    found.scores = torch.linspace(0.9, 0.5, count)
    found.pred_classes = torch.arange(count)
    return found


def test_rows_are_coco_results():
    first, second = coco_rows(make_instances(2), 7, "sub/a.png", {0: 44})
    assert (first["image_id"], first["file_name"]) == (7, "sub/a.png")
    assert (first["category_id"], second["category_id"]) == (44, 2), "without metadata COCO counts from 1"
    assert first["bbox"] == [2.0, 1.0, 5.0, 2.0]
    assert first["score"] == pytest.approx(0.9)
    decoded = mask_api.decode(json.loads(json.dumps(first))["segmentation"])
    assert np.array_equal(decoded, make_instances(1).pred_masks[0].numpy())


def test_no_instances_no_rows():
    assert coco_rows(make_instances(0), 1, "a.png", {}) == []


def test_category_ids():
    assert category_ids(Metadata(thing_dataset_id_to_contiguous_id={1: 0, 90: 1})) == {0: 1, 1: 90}
    assert category_ids(Metadata()) == {}


@pytest.mark.parametrize("name", ["a.jpg", "sub/b.png", "c.webp", "d.bmp", "e.tif"])
def test_picture_is_written_whole(tmp_path, name):
    picture = np.full((5, 7, 3), (250, 10, 20), np.uint8)
    save_picture(picture, tmp_path / name)
    with Image.open(tmp_path / name) as read:
        assert np.abs(np.asarray(read.convert("RGB")).astype(int) - picture).max() < 12
    assert [p.name for p in (tmp_path / name).parent.iterdir()] == [(tmp_path / name).name]


def test_json_is_written_whole(tmp_path):
    save_json([{"a": 1}], tmp_path / "sub" / "r.json")
    assert json.loads((tmp_path / "sub" / "r.json").read_text()) == [{"a": 1}]
    assert len(list((tmp_path / "sub").iterdir())) == 1
