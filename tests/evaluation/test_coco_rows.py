"""Rows of a results file against those of Detectron2's own function."""

import pytest
import torch

from detectron2.evaluation.coco_evaluation import instances_to_coco_json as by_detectron2
from detectron2.structures import Boxes, Instances
from solo_d2.evaluation.coco_rows import instances_to_coco_json, restore_ids
from solo_d2.ops import MaskCrops
from solo_d2.structures import boxes_from_masks


def make_instances(count, size=(37, 70)):
    generator = torch.Generator().manual_seed(count)
    masks = (
        torch.rand(count, *size, generator=generator)
        < torch.linspace(0, 1, max(count, 2))[:count, None, None]
    )
    return Instances(
        size,
        pred_masks=masks,
        pred_boxes=Boxes(boxes_from_masks(masks) + 0.25),
        scores=torch.rand(count, generator=generator),
        pred_classes=torch.arange(count) % 3,
    )


@pytest.mark.parametrize("count", [0, 1, 9])
def test_rows_are_those_of_detectron2(count):
    instances = make_instances(count)
    assert instances_to_coco_json(instances, 7) == by_detectron2(instances, 7)


def test_crops_and_other_forms_of_masks_give_the_same():
    instances = make_instances(5)
    expected = instances_to_coco_json(instances, 7)
    masks = instances.pred_masks
    for form in (MaskCrops.from_masks(masks), masks.to(torch.uint8), masks.float(), masks.numpy()):
        instances.remove("pred_masks")
        instances.pred_masks = form
        assert instances_to_coco_json(instances, 7) == expected


def test_without_masks_and_without_boxes():
    instances = make_instances(4)
    expected = by_detectron2(instances, 7)
    boxes = instances.pred_boxes
    instances.remove("pred_boxes")
    rows = instances_to_coco_json(instances, 7)
    assert rows == [{k: v for k, v in row.items() if k != "bbox"} for row in expected]
    instances.pred_boxes = boxes
    instances.remove("pred_masks")
    rows = instances_to_coco_json(instances, 7)
    assert rows == [{k: v for k, v in row.items() if k != "segmentation"} for row in expected]


def test_restored_ids():
    rows = [{"image_id": 2, "category_id": 1, "score": 0.5}]
    assert restore_ids(rows, {}) == rows
    assert restore_ids(rows, {"image_id": {2: "two"}}) == [rows[0] | {"image_id": "two"}]
    assert restore_ids(rows, {"category_id": {1: None}}) == []
    both = {"image_id": {2: "two"}, "category_id": {1: 7}}
    assert restore_ids(rows, both) == [{"image_id": "two", "category_id": 7, "score": 0.5}]
