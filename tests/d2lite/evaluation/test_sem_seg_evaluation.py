import json

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from PIL import Image

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import SemSegEvaluator

NAME = "sem_seg_evaluation"
CLASSES = ["sky", "grass", "road", "never"]
IGNORE = 255


@pytest.fixture
def truths(tmp_path):
    rng = np.random.default_rng(0)
    maps = [rng.integers(0, 3, (10, 12)).astype(np.uint8) for _ in range(3)]
    for labels in maps:
        labels[:2] = IGNORE
    records = []
    for index, labels in enumerate(maps):
        path = str(tmp_path / f"{index}.png")
        Image.fromarray(labels).save(path)
        records.append({"file_name": f"{index}.jpg", "sem_seg_file_name": path})
    DatasetCatalog.register(NAME, lambda: records)
    MetadataCatalog.get(NAME).set(stuff_classes=CLASSES, ignore_label=IGNORE)
    yield maps
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def evaluate(predicted, **kwargs):
    evaluator = SemSegEvaluator(NAME, distributed=False, **kwargs)
    evaluator.reset()
    for index, labels in enumerate(predicted):
        scores = torch.nn.functional.one_hot(torch.from_numpy(labels).long(), 4).permute(2, 0, 1).float()
        evaluator.process([{"file_name": f"{index}.jpg"}], [{"sem_seg": scores}])
    return evaluator.evaluate()["sem_seg"]


def reference(truths, predicted):
    """Set arithmetic over pixels, class by class."""
    truth, guess = np.concatenate(truths).ravel(), np.concatenate(predicted).ravel()
    valid = truth != IGNORE
    truth, guess = truth[valid], guess[valid]
    iou, acc, share = {}, {}, {}
    for label in range(3):
        inside = (truth == label) & (guess == label)
        iou[label] = inside.sum() / ((truth == label) | (guess == label)).sum()
        acc[label] = inside.sum() / (truth == label).sum()
        share[label] = (truth == label).mean()
    return {
        "mIoU": 100 * np.mean(list(iou.values())),
        "fwIoU": 100 * sum(iou[c] * share[c] for c in iou),
        "mACC": 100 * np.mean(list(acc.values())),
        "pACC": 100 * (truth == guess).mean(),
        **{f"IoU-{CLASSES[c]}": 100 * iou[c] for c in iou},
        **{f"ACC-{CLASSES[c]}": 100 * acc[c] for c in acc},
    }


def test_metrics(truths):
    rng = np.random.default_rng(1)
    predicted = [np.where(rng.random(t.shape) < 0.6, t % 4, rng.integers(0, 4, t.shape)) for t in truths]
    results = evaluate(predicted)
    for name, value in reference(truths, predicted).items():
        assert results[name] == pytest.approx(value), name
    assert np.isnan(results["IoU-never"]) and np.isnan(results["ACC-never"])


def test_perfect(truths):
    results = evaluate([np.where(t == IGNORE, 1, t) for t in truths])
    assert results["mIoU"] == results["fwIoU"] == results["mACC"] == results["pACC"] == 100


def test_files(truths, tmp_path):
    folder = tmp_path / "out"
    predicted = [np.where(t == IGNORE, 1, t) for t in truths]
    evaluate(predicted, output_dir=str(folder))
    rows = json.loads((folder / "sem_seg_predictions.json").read_text())
    decoded = np.zeros((10, 12), dtype=int)
    for row in rows:
        if row["file_name"] == "0.jpg":
            decoded += row["category_id"] * mask_util.decode(row["segmentation"])
    assert np.array_equal(decoded, predicted[0])
    assert (folder / "sem_seg_evaluation.pth").is_file()
