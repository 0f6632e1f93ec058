"""The evaluators that encode masks themselves against those that they are."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import COCOEvaluator
from detectron2.structures import Boxes, Instances
from solo_d2.data.datasets import register_coco_format
from solo_d2.evaluation import instance_evaluation
from solo_d2.evaluation.class_agnostic import ClassAgnosticEvaluator
from solo_d2.evaluation.instance_evaluation import InstanceEvaluator
from solo_d2.structures import boxes_from_masks

SIZE = (40, 60)


@pytest.fixture
def dataset(tmp_path):
    """One image with two squares."""
    annotations = [
        {
            "id": i + 1, "image_id": 1, "category_id": i + 1, "iscrowd": 0, "area": 100,
            "bbox": [x, 5, 10, 10], "segmentation": [[x, 5, x + 10, 5, x + 10, 15, x, 15]],
        }
        for i, x in enumerate((5, 30))
    ]  # fmt: skip
    categories = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    images = [{"id": 1, "file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1]}]
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    MetadataCatalog.get("encoded").set(
        json_file=str(path), thing_classes=["a", "b"], thing_dataset_id_to_contiguous_id={1: 0, 2: 1}
    )
    yield "encoded"
    MetadataCatalog.remove("encoded")


def predictions():
    masks = torch.zeros(3, *SIZE, dtype=torch.bool)
    masks[0, 5:15, 5:15], masks[1, 6:17, 29:41], masks[2, 0:2, 0:60] = True, True, True
    return Instances(
        SIZE,
        pred_masks=masks,
        pred_boxes=Boxes(boxes_from_masks(masks)),
        scores=torch.tensor([0.9, 0.8, 0.7]),
        pred_classes=torch.tensor([0, 1, 0]),
    )


def run(evaluator):
    evaluator.reset()
    evaluator.process([{"image_id": 1}], [{"instances": predictions()}])
    return evaluator.evaluate()


def test_coco_results_are_detectron2s(dataset, tmp_path):
    results = {}
    classes = {"ours": instance_evaluation.InstanceEvaluator, "theirs": COCOEvaluator}
    for name, evaluator_class in classes.items():
        folder = str(tmp_path / name)
        results[name] = run(evaluator_class(dataset, ("bbox", "segm"), False, folder))
        rows = json.loads((tmp_path / name / "coco_instances_results.json").read_text())
        results[name]["rows"] = rows
    assert len(results["ours"]["rows"]) == 3
    assert repr(results["ours"]["segm"]) == repr(results["theirs"]["segm"])
    assert repr(results["ours"]["bbox"]) == repr(results["theirs"]["bbox"])
    assert results["ours"]["rows"] == results["theirs"]["rows"]


@pytest.mark.parametrize("ids", [("one", "two"), (-1, -2), (2**53 + 1, 2**63), ("1", 1)])
@pytest.mark.parametrize("evaluator_class", [instance_evaluation.InstanceEvaluator, ClassAgnosticEvaluator])
def test_any_ids_and_class_order_give_the_same_numbers(dataset, tmp_path, evaluator_class, ids):
    plain = json.loads((tmp_path / "truth.json").read_text())
    expected = run(evaluator_class(dataset, ("bbox", "segm"), output_dir=str(tmp_path / "plain")))
    swapped = {1: 2, 2: 1}
    content = {
        "images": [
            one | {"id": name, "file_name": f"{i}.jpg"}
            for i, name in enumerate(ids)
            for one in plain["images"]
        ],
        "annotations": [
            one | {"image_id": ids[0], "category_id": swapped[one["category_id"]], "id": 2**70 + i}
            for i, one in enumerate(plain["annotations"])
        ],
        "categories": [{"id": 1, "name": "b"}, {"id": 2, "name": "a"}],
    }
    for place in range(2):
        Image.new("RGB", SIZE[::-1]).save(tmp_path / f"{place}.jpg")
    (tmp_path / "other.json").write_text(json.dumps(content))
    register_coco_format(
        "renumbered", tmp_path / "other.json", tmp_path, tmp_path / "cache", classes=["a", "b"]
    )
    try:
        assert DatasetCatalog.get("renumbered")[0]["image_id"] == 1
        measured = run(evaluator_class("renumbered", ("bbox", "segm"), output_dir=str(tmp_path / "own")))
    finally:
        DatasetCatalog.remove("renumbered")
        MetadataCatalog.remove("renumbered")
    assert expected["segm"]["AP"] > 50 and repr(measured) == repr(expected)
    rows = json.loads((tmp_path / "own" / "coco_instances_results.json").read_text())
    assert [row["image_id"] for row in rows] == [ids[0]] * 3
    agnostic = evaluator_class is ClassAgnosticEvaluator
    assert [row["category_id"] for row in rows] == ([1, 1, 1] if agnostic else [2, 1, 2])


class Recorder:
    """Stands in for Detectron2's part."""

    def __init__(self):
        self.given = []
        self._predictions = []

    def process(self, inputs, outputs):
        self.given += zip(inputs, outputs, strict=True)


class Evaluator(instance_evaluation._MaskEncoder, Recorder):
    pass


def test_other_predictions_are_left_to_detectron2():
    with_keypoints = predictions()
    with_keypoints.pred_keypoints = torch.zeros(3, 17, 3)
    outputs = [{"instances": predictions()}, {"instances": with_keypoints}, {"sem_seg": 0}, {"proposals": 0}]
    inputs = [{"image_id": i} for i in range(4)]
    evaluator = Evaluator()
    evaluator.process(inputs, outputs)
    assert [image["image_id"] for image, _ in evaluator.given] == [1, 2, 3]
    assert [kept["image_id"] for kept in evaluator._predictions] == [0]


@pytest.mark.parametrize("evaluator_type", [InstanceEvaluator, ClassAgnosticEvaluator])
def test_without_annotations_the_predictions_are_written(dataset, tmp_path, caplog, evaluator_type):
    path = tmp_path / "truth.json"
    content = json.loads(path.read_text())
    del content["annotations"]
    path.write_text(json.dumps(content))
    results = run(evaluator_type(dataset, ("bbox", "segm"), output_dir=str(tmp_path / "out")))
    assert all(np.isnan(value) for task in results.values() for value in task.values())
    rows = json.loads((tmp_path / "out" / "coco_instances_results.json").read_text())
    assert len(rows) == 3 and rows[0]["image_id"] == 1
    assert "no ground truth to score against; the predictions are in" in caplog.text
