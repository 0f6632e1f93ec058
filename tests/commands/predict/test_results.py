"""Rows of a COCO results file."""

import json

import numpy as np
import pytest
import torch
from pycocotools import mask as mask_api

from detectron2.structures import Boxes, Instances
from solo_d2.commands.predict.results import coco_rows


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
