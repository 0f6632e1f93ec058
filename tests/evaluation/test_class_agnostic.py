"""Against COCO's evaluation of a file whose categories have been merged by hand, and hand-made cases."""

import contextlib
import io
import json
import math

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detectron2.data import MetadataCatalog
from detectron2.structures import Boxes, Instances
from solo_d2.evaluation.class_agnostic import METRICS, ClassAgnosticEvaluator, format_table, read_truth
from solo_d2.utils.errors import InputError

NAME = "class_agnostic_of_a_test"
SIZE = (60, 80)


def make_truth(rng, num_images=4, crowds=True):
    images, annotations = [], []
    for image in range(1, num_images + 1):
        images.append({"id": image, "file_name": f"{image}.png", "height": SIZE[0], "width": SIZE[1]})
        for number in range(rng.integers(1, 5)):
            x, y = rng.integers(0, 50), rng.integers(0, 35)
            w, h = rng.integers(5, 28), rng.integers(5, 22)
            mask = np.zeros(SIZE, np.uint8)
            mask[y : y + h, x : x + w] = 1
            rle = coco_mask.encode(np.asfortranarray(mask))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": int(rng.choice([3, 7, 9])),
                    "iscrowd": int(crowds and number == 3),
                    "bbox": [int(x), int(y), int(w), int(h)],
                    "area": int(w * h),
                    "segmentation": {"size": list(SIZE), "counts": rle["counts"].decode()},
                }
            )
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": str(i)} for i in (3, 7, 9)],
    }


@pytest.fixture
def register(tmp_path):
    def make(content):
        (tmp_path / "gt.json").write_text(json.dumps(content))
        MetadataCatalog.get(NAME).set(json_file=str(tmp_path / "gt.json"), evaluator_type="coco")
        return NAME

    yield make
    MetadataCatalog.remove(NAME)


def predictions(rng, content, noise=4):
    """Moved ground truth and some nonsense, of random classes: one Instances per image."""
    outputs = []
    for image in content["images"]:
        boxes = [a["bbox"] for a in content["annotations"] if a["image_id"] == image["id"]]
        masks, scores = [], []
        for x, y, w, h in [*boxes, *boxes, [2, 2, 10, 10]]:
            dx, dy = rng.integers(-noise, noise + 1, 2) if noise else (0, 0)
            mask = torch.zeros(SIZE, dtype=torch.bool)
            mask[max(y + dy, 0) : y + dy + h, max(x + dx, 0) : x + dx + w] = True
            masks.append(mask)
            scores.append(float(rng.random()))
        result = Instances(SIZE)
        result.pred_masks = torch.stack(masks)
        extents = [[m.any(0).nonzero(), m.any(1).nonzero()] for m in masks]
        result.pred_boxes = Boxes(
            torch.tensor([[c.min(), r.min(), c.max() + 1, r.max() + 1] for c, r in extents]).float()
        )
        result.scores = torch.tensor(scores)
        result.pred_classes = torch.from_numpy(rng.integers(0, 5, len(masks)))
        outputs.append({"instances": result})
    return outputs


def run(name, content, outputs, **kwargs):
    evaluator = ClassAgnosticEvaluator(name, **kwargs)
    evaluator.reset()
    for image, output in zip(content["images"], outputs, strict=True):
        evaluator.process([{"image_id": image["id"]}], [output])
    return evaluator.evaluate()


def merged_by_hand(content, results, task):
    """COCO's own evaluation, with classes, of a file that has one."""
    truth = COCO()
    truth.dataset = {
        **content,
        "categories": [{"id": 1, "name": "object"}],
        "annotations": [{**a, "category_id": 1} for a in content["annotations"]],
    }
    results = [{k: v for k, v in r.items() if k != "bbox" or task == "bbox"} for r in results]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), task)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: 100 * evaluation.stats[index] for name, index in METRICS.items()}


@pytest.mark.parametrize("seed", range(3))
def test_equals_cocos_evaluation_of_merged_classes(register, tmp_path, seed):
    rng = np.random.default_rng(seed)
    content = make_truth(rng)
    measured = run(register(content), content, predictions(rng, content), output_dir=str(tmp_path / "out"))
    results = json.loads((tmp_path / "out" / "coco_instances_results.json").read_text())
    assert {r["category_id"] for r in results} == {1}
    for task in ("bbox", "segm"):
        assert measured[task] == pytest.approx(merged_by_hand(content, results, task))
    assert 0 < measured["segm"]["AP"] < 100


def test_perfect_masks_of_wrong_classes_are_perfect(register):
    rng = np.random.default_rng(5)
    content = make_truth(rng, crowds=False)
    outputs = predictions(rng, content, noise=0)
    for output in outputs:
        count = (len(output["instances"]) - 1) // 2  # one of each object, without the nonsense
        output["instances"] = output["instances"][:count]
    measured = run(register(content), content, outputs)
    for task in ("bbox", "segm"):
        assert measured[task]["AP"] == pytest.approx(100) and measured[task]["AR100"] == pytest.approx(100)
    share = len(content["images"]) / len(content["annotations"])
    assert measured["segm"]["AR1"] == pytest.approx(100 * share), "one result per image finds one object"


def test_without_results_0_and_without_ground_truth_nan(register):
    content = make_truth(np.random.default_rng(0))
    nothing = [{"instances": predictions(np.random.default_rng(0), content)[0]["instances"][:0]}] * 4
    measured = run(register(content), content, nothing, tasks=["segm"])
    assert measured == {"segm": dict.fromkeys(METRICS, 0.0)}
    content["annotations"] = []
    for outputs in (nothing, predictions(np.random.default_rng(0), content)):
        assert all(math.isnan(v) for v in run(register(content), content, outputs)["segm"].values())


def test_annotations_without_crowd_flags(register):
    content = make_truth(np.random.default_rng(1), crowds=False)
    expected = run(register(content), content, predictions(np.random.default_rng(2), content))
    for annotation in content["annotations"]:
        del annotation["iscrowd"]
    assert run(register(content), content, predictions(np.random.default_rng(2), content)) == expected


def test_annotations_without_areas(register, tmp_path):
    content = make_truth(np.random.default_rng(1))
    content["annotations"][0]["segmentation"] = [[10, 10, 30, 10, 30, 20, 10, 20]]
    content["annotations"][0]["area"] = 200
    expected = run(register(content), content, predictions(np.random.default_rng(2), content))
    areas = [annotation.pop("area") for annotation in content["annotations"]]
    measured = run(register(content), content, predictions(np.random.default_rng(2), content))
    assert measured == expected and measured["segm"]["AP"] > 0
    truth = read_truth(tmp_path / "gt.json")
    assert [annotation["area"] for annotation in truth.dataset["annotations"]] == areas
    for annotation in content["annotations"]:
        del annotation["segmentation"]
    boxes = run(register(content), content, predictions(np.random.default_rng(2), content), tasks=["bbox"])
    assert boxes["bbox"] == expected["bbox"]


def test_table():
    numbers = dict.fromkeys(METRICS, 12.345)
    table = format_table({"bbox": numbers, "segm": {**numbers, "AP": float("nan")}}).splitlines()
    assert table[0].split() == list(METRICS)
    assert table[1].split() == ["mask", "nan", *[f"{12.345:.2f}"] * 5]
    assert table[2].startswith("box") and len(format_table({"bbox": numbers}).splitlines()) == 2


def test_data_set_without_a_coco_file_is_one_line():
    MetadataCatalog.get(NAME).set(evaluator_type="sem_seg")
    with pytest.raises(InputError, match="class_agnostic measures data sets with a COCO file"):
        ClassAgnosticEvaluator(NAME)
    MetadataCatalog.remove(NAME)
