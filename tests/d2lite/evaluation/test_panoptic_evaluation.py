"""What is handed to COCO's package, with a stand-in for it."""

import json
import os
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.data import MetadataCatalog
from detectron2.evaluation import COCOPanopticEvaluator

NAME = "d2lite_panoptic"


@pytest.fixture
def seen(monkeypatch):
    """What the stand-in's `pq_compute` was called with."""
    calls = {}

    def id2rgb(ids):
        return np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)

    def pq_compute(gt_json, pred_json, gt_folder, pred_folder):
        print("chatter")
        with open(pred_json) as f:
            calls["content"] = json.load(f)
        calls["pictures"] = {
            name: np.asarray(Image.open(os.path.join(pred_folder, name)))
            for name in os.listdir(pred_folder)
            if name.endswith(".png")
        }
        calls["gt"] = gt_json, gt_folder
        return {g: {"pq": 0.5, "sq": 0.75, "rq": 0.25, "n": 2} for g in ("All", "Things", "Stuff")}

    package, utils, evaluation = (ModuleType(f"panopticapi{x}") for x in ("", ".utils", ".evaluation"))
    utils.id2rgb, evaluation.pq_compute = id2rgb, pq_compute
    for module in (package, utils, evaluation):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


@pytest.fixture
def dataset(tmp_path):
    (tmp_path / "truth.json").write_text(json.dumps({"categories": [1], "annotations": []}))
    MetadataCatalog.get(NAME).set(
        panoptic_json=str(tmp_path / "truth.json"),
        panoptic_root=str(tmp_path),
        thing_dataset_id_to_contiguous_id={4: 0},
        stuff_dataset_id_to_contiguous_id={0: 0, 8: 1},
    )
    yield tmp_path
    MetadataCatalog.remove(NAME)


def test_results_and_files(dataset, seen, capsys):
    evaluator = COCOPanopticEvaluator(NAME, str(dataset / "out"))
    evaluator.reset()
    ids = torch.tensor([[0, 1], [300, 1]], dtype=torch.int32)
    segments = [
        {"id": 1, "isthing": True, "category_id": 0},
        {"id": 300, "isthing": False, "category_id": 1},
    ]
    evaluator.process([{"image_id": 6, "file_name": "a/b.jpg"}], [{"panoptic_seg": (ids, segments)}])
    os.makedirs(dataset / "out", exist_ok=True)
    results = evaluator.evaluate()["panoptic_seg"]
    assert list(results) == ["PQ", "SQ", "RQ", "PQ_th", "SQ_th", "RQ_th", "PQ_st", "SQ_st", "RQ_st"]
    assert results["PQ"] == 50 and results["SQ_th"] == 75 and results["RQ_st"] == 25
    record = {"image_id": 6, "file_name": "b.png"}
    record["segments_info"] = [{"id": 1, "category_id": 4}, {"id": 300, "category_id": 8}]
    assert seen["content"] == {"categories": [1], "annotations": [record]}
    assert seen["pictures"]["b.png"][1, 0].tolist() == [44, 1, 0]
    assert seen["gt"] == (str(dataset / "truth.json"), str(dataset))
    assert json.loads((dataset / "out" / "predictions.json").read_text()) == seen["content"]
    assert capsys.readouterr().out == ""


def test_categories_of_the_dataset_itself_stay(dataset, seen):
    evaluator = COCOPanopticEvaluator(NAME)
    evaluator.reset()
    ids = torch.ones(1, 1, dtype=torch.int32)
    output = {"panoptic_seg": (ids, [{"id": 1, "category_id": 77}])}
    evaluator.process([{"image_id": 1, "file_name": "x.jpg"}], [output])
    evaluator.evaluate()
    assert seen["content"]["annotations"][0]["segments_info"] == [{"id": 1, "category_id": 77}]
