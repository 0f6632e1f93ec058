"""Pictures of ground truth and prediction, with models that answer without computing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from detectron2.structures import Boxes, BoxMode, Instances
from detectron2.utils.events import EventStorage
from solo_d2.data.datasets import register_panoptic_format
from solo_d2.visualization.validation import ValidationPictures

SIDE = 200
NAME = "pictured_set"


class Answers(nn.Module):
    """Gives the same output for every image and notes what it was asked."""

    def __init__(self, output):
        super().__init__()
        self.output, self.asked = output, []

    def forward(self, batch):
        assert not self.training
        self.asked += batch
        return [self.output]


def found(*scores, size=(SIDE, SIDE)):
    """Squares in the lower right, one per score."""
    instances = Instances(size)
    masks = torch.zeros(len(scores), *size, dtype=torch.bool)
    masks[:, 120:180, 120:180] = True
    instances.pred_masks = masks
    instances.pred_boxes = Boxes(torch.tensor([[120.0, 120.0, 180.0, 180.0]] * len(scores)).view(-1, 4))
    instances.scores, instances.pred_classes = (
        torch.tensor(scores),
        torch.zeros(len(scores), dtype=torch.int64),
    )
    return {"instances": instances}


@pytest.fixture
def dataset(tmp_path):
    """Five gray images with one labeled square in the upper left."""
    square = [20, 20, 80, 20, 80, 80, 20, 80]
    label = {
        "bbox": [20, 20, 60, 60],
        "bbox_mode": BoxMode.XYWH_ABS,
        "segmentation": [square],
        "category_id": 0,
    }
    records = []
    for number in range(5):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((SIDE, SIDE, 3), 128, np.uint8)).save(path)
        records.append({"file_name": str(path), "height": SIDE, "width": SIDE, "annotations": [label]})
    DatasetCatalog.register(NAME, lambda: records)
    MetadataCatalog.get(NAME).set(thing_classes=["square"])
    yield NAME
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def draw(model, dataset, count, metadata=None):
    np.random.seed(0)  # Detectron2's colors, the same at each call
    with EventStorage() as storage:
        ValidationPictures(model, lambda record: record, dataset, count, metadata).draw()
    return {name: torch.as_tensor(picture) for name, picture, _ in storage._vis_data}


def differs(picture, top, left, height, width):
    return (picture[:, top : top + height, left : left + width].int() - 128).abs().float().mean() > 8


def test_truth_is_left_and_prediction_right(dataset):
    model = Answers(found(0.9)).train()
    pictures = draw(model, dataset, 2)
    assert list(pictures) == ["validation/0", "validation/2"], "spread over the data set"
    assert [Path(record["file_name"]).stem for record in model.asked] == ["0", "2"]
    assert model.training, "the mode is put back"
    picture = pictures["validation/0"]
    assert picture.shape == (3, SIDE, 2 * SIDE) and picture.dtype == torch.uint8
    assert differs(picture, 50, 30, 25, 40) and not differs(picture, 130, 130, 40, 40)
    assert differs(picture, 150, SIDE + 130, 25, 40) and not differs(picture, 50, SIDE + 30, 25, 40)


def test_unsure_predictions_are_not_drawn(dataset):
    picture = draw(Answers(found(0.29)), dataset, 1)["validation/0"]
    assert (picture[:, :, SIDE:] == 128).all()


def test_more_pictures_than_images(dataset):
    model = Answers(found()).eval()
    assert len(draw(model, dataset, 10)) == 5
    assert not model.training


def test_predictions_may_have_names_of_their_own(dataset):
    names = Metadata(thing_classes=["anything at all"])
    plain, named = (draw(Answers(found(0.9)), dataset, 1, each)["validation/0"] for each in (None, names))
    assert torch.equal(plain[:, :, :SIDE], named[:, :, :SIDE])
    assert not torch.equal(plain[:, :, SIDE:], named[:, :, SIDE:])


def test_large_images_are_shrunk(dataset):
    record = DatasetCatalog.get(dataset)[0]
    Image.fromarray(np.full((800, 400, 3), 128, np.uint8)).save(record["file_name"])
    record.update(height=800, width=400)
    picture = draw(Answers(found(size=(800, 400))), dataset, 1)["validation/0"]
    assert picture.shape == (3, 640, 2 * 320)


def test_panoptic_pictures(panoptic_set):
    register_panoptic_format(NAME, panoptic_set.json, panoptic_set.panoptic, panoptic_set.images)
    predicted = torch.zeros(36, 32, dtype=torch.int32)
    predicted[:18] = 1
    output = {"panoptic_seg": (predicted, [{"id": 1, "isthing": False, "category_id": 1, "area": 18 * 32}])}
    try:
        with Image.open(f"{panoptic_set.images}/2.jpg") as picture:
            original = np.asarray(picture).transpose(2, 0, 1).astype(int)
        records = [record for record in DatasetCatalog.get(NAME) if record["file_name"].endswith("2.jpg")]
        DatasetCatalog.remove(NAME)
        DatasetCatalog.register(NAME, lambda: records)
        picture = draw(Answers(output), NAME, 1)["validation/2"].numpy().astype(int)
    finally:
        DatasetCatalog.remove(NAME)
        MetadataCatalog.remove(NAME)
    assert picture.shape == (3, 36, 64)
    change = np.abs(picture - np.concatenate([original, original], axis=2))
    assert change[:, :, :32].mean() > 8, "the sea is drawn"
    # The median, as Detectron2's label may reach below the segment.
    assert change[:, :16, 32:].mean() > 8, "what is predicted is drawn"
    assert np.median(change[:, 22:, 32:]) <= 1, "the rest is not"
