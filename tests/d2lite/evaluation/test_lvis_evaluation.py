import json

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch

import detectron2
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.evaluation import LVISEvaluator
from detectron2.structures import Boxes, Instances

pytestmark = pytest.mark.skipif(
    "d2lite" not in detectron2.__version__, reason="Detectron2 evaluates LVIS with the lvis package"
)
pytest.importorskip("faster_coco_eval")
H, W = 60, 80
NAME = "lvis_evaluation"
BOX = (10, 10, 50, 50)


def rle(box):
    mask = np.zeros((H, W), dtype=np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 1
    return mask_util.encode(np.asfortranarray(mask))


@pytest.fixture
def dataset(tmp_path):
    """Image 1 shows class 1 (rare); class 2 (frequent) is verified absent, class 3 unverified."""
    encoded = rle(BOX)
    content = {
        "images": [
            {
                "id": 1,
                "height": H,
                "width": W,
                "file_name": "a.png",
                "neg_category_ids": [2],
                "not_exhaustive_category_ids": [],
            },
            {
                "id": 2,
                "height": H,
                "width": W,
                "file_name": "b.png",
                "neg_category_ids": [],
                "not_exhaustive_category_ids": [2],
            },
        ],
        "categories": [
            {"id": 1, "name": "r", "frequency": "r"},
            {"id": 2, "name": "f", "frequency": "f"},
            {"id": 3, "name": "c", "frequency": "c"},
        ],
        "annotations": [
            {
                "id": i,
                "image_id": i,
                "category_id": i,
                "area": 1600,
                "iscrowd": 0,
                "bbox": [10, 10, 40, 40],
                "segmentation": {"size": [H, W], "counts": encoded["counts"].decode()},
            }
            for i in (1, 2)
        ],
    }
    path = tmp_path / "lvis.json"
    path.write_text(json.dumps(content))
    register_coco_instances(NAME, {}, str(path), "")
    DatasetCatalog.get(NAME)
    yield
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def evaluate(per_image, **kwargs):
    """per_image: {image id: rows of (box, class, score)}."""
    evaluator = LVISEvaluator(NAME, distributed=False, **kwargs)
    evaluator.reset()
    for image_id, rows in per_image.items():
        instances = Instances((H, W))
        instances.pred_boxes = Boxes(torch.tensor([row[0] for row in rows], dtype=torch.float32))
        instances.pred_classes = torch.tensor([row[1] for row in rows])
        instances.scores = torch.tensor([row[2] for row in rows])
        instances.pred_masks = torch.stack(
            [torch.from_numpy(mask_util.decode(rle(row[0]))).bool() for row in rows]
        )
        evaluator.process([{"image_id": image_id}], [{"instances": instances}])
    return evaluator.evaluate()


def test_perfect_predictions(dataset):
    results = evaluate({1: [(BOX, 0, 0.9)], 2: [(BOX, 1, 0.9)]})
    for task in ("bbox", "segm"):
        assert results[task]["AP"] == pytest.approx(100)
        assert results[task]["APr"] == results[task]["APf"] == pytest.approx(100)
        assert np.isnan(results[task]["APc"])


def test_false_positives_count_only_where_verified(dataset):
    right = {1: [(BOX, 0, 0.5)], 2: [(BOX, 1, 0.5)]}
    unverified = evaluate({**right, 1: [(BOX, 0, 0.5), ((0, 0, 9, 9), 2, 0.9)]})
    assert unverified["segm"]["AP"] == pytest.approx(100)
    verified = evaluate({**right, 1: [(BOX, 0, 0.5), ((0, 0, 9, 9), 1, 0.9)]})
    assert verified["segm"]["APf"] == pytest.approx(50, abs=1)
    not_exhaustive = evaluate({**right, 2: [(BOX, 1, 0.5), ((0, 0, 9, 9), 1, 0.9)]})
    assert not_exhaustive["segm"]["APf"] == pytest.approx(100)


def test_limit_counts_over_all_classes(dataset):
    rows = [((0, 0, 9, 9), 2, 0.9), (BOX, 0, 0.5)]
    results = evaluate({1: rows, 2: [(BOX, 1, 0.9)]}, max_dets_per_image=1)
    assert results["bbox"]["APr"] == pytest.approx(0) and results["bbox"]["APf"] == pytest.approx(100)
