"""The evaluators that encode masks themselves against those that they are."""

import json

import pytest
import torch

from detectron2.data import MetadataCatalog
from detectron2.evaluation import COCOEvaluator
from detectron2.structures import Boxes, Instances
from solo_d2.evaluation import instance_evaluation
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


class Recorder:
    """What is left to Detectron2."""

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
