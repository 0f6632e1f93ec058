import json
import math

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import detectron2
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.evaluation import COCOEvaluator
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.structures import Boxes, Instances
from detectron2.utils import comm

IS_D2LITE = "d2lite" in detectron2.__version__
H, W = 120, 160
NAME = "coco_evaluation"


def rectangle(x0, y0, x1, y1):
    mask = np.zeros((H, W), dtype=np.uint8)
    mask[y0:y1, x0:x1] = 1
    return mask


def random_rectangles(rng, count):
    x0, y0 = rng.integers(0, W - 12, count), rng.integers(0, H - 12, count)
    return [
        (x, y, min(W, x + rng.integers(8, 80)), min(H, y + rng.integers(8, 60)))
        for x, y in zip(x0, y0, strict=True)
    ]


def to_instances(rectangles, classes, scores, boxes=True, masks=True):
    instances = Instances((H, W))
    instances.scores = torch.tensor(scores, dtype=torch.float32)
    instances.pred_classes = torch.tensor(classes, dtype=torch.int64)
    if boxes:
        instances.pred_boxes = Boxes(torch.tensor(np.array(rectangles, dtype=np.float32).reshape(-1, 4)))
    if masks:
        stacked = np.array([rectangle(*r) for r in rectangles], dtype=bool).reshape(-1, H, W)
        instances.pred_masks = torch.from_numpy(stacked)
    return instances


@pytest.fixture
def dataset(tmp_path):
    """Six images with objects of two classes whose ids have gaps, one crowd, one image empty."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for image_id in range(10, 16):
        images.append({"id": image_id, "file_name": f"{image_id}.png", "height": H, "width": W})
        for rect in random_rectangles(rng, 0 if image_id == 15 else 4):
            rle = mask_util.encode(np.asfortranarray(rectangle(*rect)))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "iscrowd": int(len(annotations) == 3),
                    "category_id": int(rng.choice([4, 9])),
                    "area": int(mask_util.area(rle)),
                    "bbox": mask_util.toBbox(rle).tolist(),
                    "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
                }
            )
    categories = [{"id": 4, "name": "cat"}, {"id": 9, "name": "dog"}]
    content = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(content))
    register_coco_instances(NAME, {}, str(path), "")
    DatasetCatalog.get(NAME)
    yield content
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def predictions(content, **fields):
    """Shifted truths, wrong classes and inventions, per image."""
    rng = np.random.default_rng(1)
    for image in content["images"]:
        rects, classes = random_rectangles(rng, 3), rng.integers(0, 2, 3).tolist()
        for ann in content["annotations"]:
            if ann["image_id"] == image["id"]:
                x, y, w, h = map(int, ann["bbox"])
                dx, dy = rng.integers(0, 6, 2)
                rects.append((x + min(dx, w - 1), y + min(dy, h - 1), x + w, y + h))
                classes.append(int(ann["category_id"] == 9) if rng.random() < 0.8 else 0)
        scores = rng.permutation(len(rects)) / len(rects)
        yield {"image_id": image["id"]}, {"instances": to_instances(rects, classes, scores, **fields)}


def evaluate(content, fields=None, **kwargs):
    evaluator = COCOEvaluator(NAME, distributed=False, **kwargs)
    evaluator.reset()
    for one_input, output in predictions(content, **(fields or {})):
        evaluator.process([one_input], [output])
    return evaluator, evaluator.evaluate()


def reference(content, task, tmp_path):
    """The twelve numbers of pycocotools, without any of the code under test."""
    truth = COCO(str(tmp_path / "gt.json"))
    results = []
    for image, output in predictions(content):
        instances = output["instances"]
        for mask, category, score in zip(
            instances.pred_masks.numpy(), instances.pred_classes, instances.scores, strict=True
        ):
            rle = mask_util.encode(np.asfortranarray(mask, dtype=np.uint8))
            geometry = {"segmentation": rle} if task == "segm" else {"bbox": mask_util.toBbox(rle).tolist()}
            category_id = [4, 9][int(category)]
            row = {"image_id": image["image_id"], "category_id": category_id, "score": float(score)}
            results.append({**row, **geometry})
    coco_eval = COCOeval(truth, truth.loadRes(results), task)
    coco_eval.evaluate()
    coco_eval.accumulate()
    coco_eval.summarize()
    return coco_eval


@pytest.mark.parametrize("fast", [True, False])
def test_numbers_are_those_of_pycocotools(dataset, tmp_path, fast):
    _, results = evaluate(dataset, output_dir=str(tmp_path), use_fast_impl=fast)
    assert list(results) == ["bbox", "segm"]
    for task, metrics in results.items():
        coco_eval = reference(dataset, task, tmp_path)
        names = ["AP", "AP50", "AP75", "APs", "APm", "APl"]
        expected = [100 * x if x >= 0 else math.nan for x in coco_eval.stats[:6]]
        np.testing.assert_allclose([metrics[name] for name in names], expected, atol=1e-9)
        for index, name in enumerate(("cat", "dog")):
            precision = coco_eval.eval["precision"][:, :, index, 0, -1]
            expected = 100 * precision[precision > -1].mean()
            assert metrics[f"AP-{name}"] == pytest.approx(expected)
    assert 10 < results["segm"]["AP"] < 90


def test_result_file(dataset, tmp_path):
    evaluate(dataset, output_dir=str(tmp_path))
    rows = json.loads((tmp_path / "coco_instances_results.json").read_text())
    assert {row["category_id"] for row in rows} == {4, 9}
    assert set(rows[0]) == {"image_id", "category_id", "bbox", "score", "segmentation"}
    assert isinstance(rows[0]["segmentation"]["counts"], str)
    assert (tmp_path / "instances_predictions.pth").is_file()


def test_perfect_predictions(dataset):
    evaluator = COCOEvaluator(NAME, distributed=False)
    evaluator.reset()
    for image in dataset["images"]:
        anns = [a for a in dataset["annotations"] if a["image_id"] == image["id"] and not a["iscrowd"]]
        rects = [(int(x), int(y), int(x + w), int(y + h)) for x, y, w, h in (a["bbox"] for a in anns)]
        classes = [int(a["category_id"] == 9) for a in anns]
        output = {"instances": to_instances(rects, classes, [0.9] * len(anns))}
        evaluator.process([{"image_id": image["id"]}], [output])
    results = evaluator.evaluate()
    assert results["bbox"]["AP"] == pytest.approx(100) and results["segm"]["AP"] == pytest.approx(100)


def test_processes_are_joined(dataset, monkeypatch):
    pairs = list(predictions(dataset))
    parts = []
    for rank in range(2):
        evaluator = COCOEvaluator(NAME)
        evaluator.reset()
        for one_input, output in pairs[rank::2]:
            evaluator.process([one_input], [output])
        with monkeypatch.context() as patched:
            patched.setattr(comm, "is_main_process", lambda: False)
            patched.setattr(comm, "gather", lambda data, dst: parts.append(data) or [])
            assert evaluator.evaluate() == {}
    monkeypatch.setattr(comm, "gather", lambda data, dst: parts)
    _, alone = evaluate(dataset)
    joined = COCOEvaluator(NAME)
    joined.reset()
    assert joined.evaluate()["segm"] == pytest.approx(alone["segm"], nan_ok=True)


def test_some_images_only(dataset):
    evaluator, all_images = evaluate(dataset)
    evaluator.reset()
    for one_input, output in predictions(dataset):
        evaluator.process([one_input], [output])
    one_image = evaluator.evaluate(img_ids=[10])
    assert one_image["segm"]["AP"] != all_images["segm"]["AP"]


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.skipif(not IS_D2LITE, reason="Detectron2 takes no fewer than 10 detections")
def test_tasks_and_fewer_detections(dataset, fast):
    _, results = evaluate(dataset, tasks=("segm",), max_dets_per_image=1, use_fast_impl=fast)
    _, everything = evaluate(dataset, tasks=("segm",))
    assert list(results) == ["segm"]
    assert 0 < results["segm"]["AP"] < everything["segm"]["AP"]


def test_no_predictions(dataset):
    evaluator = COCOEvaluator(NAME, distributed=False)
    evaluator.reset()
    assert evaluator.evaluate() == {}


def test_only_empty_predictions(dataset):
    evaluator = COCOEvaluator(NAME, tasks=("bbox", "segm"), distributed=False)
    evaluator.reset()
    for image in dataset["images"]:
        evaluator.process([{"image_id": image["id"]}], [{"instances": to_instances([], [], [])}])
    results = evaluator.evaluate()
    assert all(math.isnan(results[task]["AP"]) for task in ("bbox", "segm"))


def test_class_that_the_dataset_does_not_have(dataset):
    evaluator = COCOEvaluator(NAME, distributed=False)
    evaluator.reset()
    output = {"instances": to_instances([(1, 1, 9, 9)], [2], [0.5])}
    evaluator.process([{"image_id": 10}], [output])
    with pytest.raises(AssertionError, match="class=2"):
        evaluator.evaluate()


@pytest.mark.skipif(not IS_D2LITE, reason="Detectron2 needs the boxes")
def test_masks_without_boxes(dataset):
    _, with_boxes = evaluate(dataset)
    _, without = evaluate(dataset, fields={"boxes": False})
    assert list(without) == ["segm"]
    assert without["segm"] == pytest.approx(with_boxes["segm"], nan_ok=True)


def test_boxes_without_masks(dataset):
    _, results = evaluate(dataset, fields={"masks": False})
    assert list(results) == ["bbox"]


@pytest.mark.d2lite_only
def test_dataset_without_a_json_is_refused(tmp_path):
    try:
        with pytest.raises(ValueError, match="'coco_without_json' has no json_file"):
            COCOEvaluator("coco_without_json", distributed=False, output_dir=str(tmp_path))
    finally:
        MetadataCatalog.remove("coco_without_json")


def test_json_of_instances():
    rects = [(1, 2, 30, 40), (5, 5, 6, 6)]
    rows = instances_to_coco_json(to_instances(rects, [1, 0], [0.5, 0.25]), 3)
    assert [(r["image_id"], r["category_id"], r["score"]) for r in rows] == [(3, 1, 0.5), (3, 0, 0.25)]
    assert rows[0]["bbox"] == [1, 2, 29, 38]
    for row, rect in zip(rows, rects, strict=True):
        assert np.array_equal(mask_util.decode(row["segmentation"]), rectangle(*rect))
    json.dumps(rows)
    assert instances_to_coco_json(to_instances([], [], []), 3) == []
