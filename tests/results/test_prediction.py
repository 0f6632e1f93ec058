"""A prediction is Detectron2's ``Instances`` and can be drawn, converted, pickled."""

import copy
import pickle
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageShow

from detectron2.data import Metadata
from detectron2.structures import Boxes, Instances
from solo_d2.inputs import to_array
from solo_d2.results import Prediction
from solo_d2.utils.errors import InputError

METADATA = Metadata(thing_classes=["cow", "ape"], thing_dataset_id_to_contiguous_id={40: 0, "x": 1})


def found_in(picture, path=""):
    """A left and a right half, with the classes in the other order."""
    height, width = 20, 40
    found = Instances((height, width))
    found.pred_masks = torch.zeros(2, height, width, dtype=torch.bool)
    found.pred_masks[0, :, :20] = found.pred_masks[1, :, 20:] = True
    found.pred_boxes = Boxes(torch.tensor([[0.0, 0.0, 20.0, 20.0], [20.0, 0.0, 40.0, 20.0]]))
    found.scores, found.pred_classes = torch.tensor([0.9, 0.4]), torch.tensor([1, 0])
    return Prediction(found, partial(to_array, picture, "RGB"), path, METADATA)


@pytest.fixture
def picture():
    array = np.full((20, 40, 3), 30, np.uint8)
    array[:, 20:] = (200, 100, 0)
    return array


@pytest.fixture
def in_file(picture, tmp_path):
    path = str(tmp_path / "a.png")
    Image.fromarray(picture).save(path)
    return found_in(path, path)


def test_it_is_detectron2s_instances(picture):
    found = found_in(picture)
    assert isinstance(found, Instances) and len(found) == 2 and found.image_size == (20, 40)
    assert set(found.get_fields()) == {"pred_masks", "pred_boxes", "scores", "pred_classes"}
    assert len(Instances.cat([found, found])) == 4
    best = found[found.scores > 0.5].to("cpu")
    assert isinstance(best, Prediction) and best.class_names == ["ape"]
    assert isinstance(found[1], Prediction) and found[1].class_names == ["cow"]
    found.embedding = torch.zeros(2, 3)
    assert found[:1].embedding.shape == (1, 3)
    with pytest.raises(AttributeError, match="gone"):
        _ = found.gone
    assert Prediction(found, found.picture.copy).class_names == ["1", "0"], "without names"


@pytest.mark.parametrize("copied", [lambda one: pickle.loads(pickle.dumps(one)), copy.deepcopy])
def test_copies_are_complete(picture, in_file, copied):
    for found in (found_in(picture), in_file, found_in(Image.fromarray(picture))):
        again = copied(found)
        assert isinstance(again, Prediction) and again.path == found.path
        assert torch.equal(again.pred_masks, found.pred_masks)
        assert again.class_names == ["ape", "cow"] and np.array_equal(again.picture, picture)
        assert np.array_equal(plot(again), plot(found))
    sizes = [len(pickle.dumps(found)) for found in (in_file, found_in(picture))]
    assert sizes[1] - sizes[0] > picture.size // 2, "a file's pixels are left in the file"


def plot(found, *parts):
    """Draws with the same colors every time: the real Detectron2 draws them by lot."""
    np.random.seed(0)
    return found.plot(*parts)


def test_drawings(in_file, picture, tmp_path, monkeypatch):
    drawn = plot(in_file)
    assert drawn.dtype == np.uint8 and drawn.shape == (320, 640, 3), "enlarged 16 times"
    plain = np.repeat(np.repeat(picture, 16, axis=0), 16, axis=1)
    assert np.abs(drawn.astype(int) - plain).mean() > 5
    assert not np.array_equal(plot(in_file, "boxes"), drawn)
    np.random.seed(0)
    saved = in_file.save(tmp_path / "out" / "b.png")
    assert np.array_equal(np.asarray(Image.open(saved)), drawn)
    with pytest.raises(InputError, match="name another file"):
        in_file.save(tmp_path / "a.png")
    with pytest.raises(InputError, match="cannot be written in this format"):
        in_file.save(tmp_path / "b.txt")
    shown = []
    monkeypatch.setattr(
        ImageShow, "_viewers", [SimpleNamespace(show=lambda one, **_: shown.append(one) or 1)]
    )
    np.random.seed(0)
    in_file.show()
    assert np.array_equal(np.asarray(shown[0]), drawn)
    monkeypatch.setattr(ImageShow, "_viewers", [])
    with pytest.raises(InputError, match="no viewer"):
        in_file.show()
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match=r"a\.png does not exist"):
        in_file.plot()


def test_conversions(in_file, tmp_path):
    first, second = in_file.to_coco(image_id="i7")
    assert (first["category_id"], second["category_id"]) == ("x", 40)
    assert (first["image_id"], first["file_name"], first["bbox"]) == ("i7", "a.png", [0, 0, 20, 20])
    labelme = in_file.to_labelme()
    assert [shape["label"] for shape in labelme["shapes"]] == ["ape", "cow"]
    assert labelme["imagePath"] == str(tmp_path / "a.png")
    assert [line.split()[0] for line in in_file.to_yolo()] == ["1", "0"]
    left, right = in_file.crops()
    assert left.shape == (20, 20, 3) and (left == 30).all() and (right == (200, 100, 0)).all()
    in_file.pred_masks[0, :, :10] = False
    assert not in_file.crops(masked=True)[0][:, :10].any()


def test_a_model_of_boxes_only(in_file):
    in_file.remove("pred_masks")
    assert in_file.plot().shape == (320, 640, 3) and len(in_file.crops(masked=True)) == 2
    assert len(in_file.to_yolo()[0].split()) == 5 and "segmentation" not in in_file.to_coco()[0]


def test_nothing_found(in_file):
    nothing = in_file[:0]
    assert nothing.class_names == nothing.to_coco() == nothing.to_yolo() == nothing.crops() == []
    assert nothing.to_labelme()["shapes"] == [] and nothing.plot().shape == (320, 640, 3)


def test_supervision(in_file):
    supervision = pytest.importorskip("supervision")
    detections = in_file.to_supervision()
    assert isinstance(detections, supervision.Detections) and len(detections) == 2
    assert np.array_equal(detections.mask, in_file.pred_masks.numpy())
    assert detections.class_id.tolist() == [1, 0] and detections["class_name"].tolist() == ["ape", "cow"]
    assert np.array_equal(detections.xyxy[1], [20, 0, 40, 20]) and len(in_file[:0].to_supervision()) == 0


def test_without_supervision(in_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(InputError, match=r"pip install .solo_d2\[supervision\]"):
        in_file.to_supervision()
