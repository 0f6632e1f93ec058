import copy

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from PIL import Image

import detectron2
from detectron2.config import get_cfg
from detectron2.data import DatasetMapper
from detectron2.data import transforms as T
from detectron2.structures import BoxMode

IS_D2LITE = "d2lite" in detectron2.__version__


@pytest.fixture
def element(tmp_path):
    """A 20x30 picture with a 10x10 square of class 2, a crowd, and a label map."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    labels = np.zeros((20, 30), np.uint8)
    labels[5:15, 10:20] = 2
    Image.fromarray(labels).save(tmp_path / "labels.png")
    square = {
        "bbox": [10.0, 5.0, 10.0, 10.0],
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": 2,
        "segmentation": [[10.0, 5.0, 20.0, 5.0, 20.0, 15.0, 10.0, 15.0]],
    }
    return {
        "file_name": str(tmp_path / "image.png"),
        "image_id": 7,
        "height": 20,
        "width": 30,
        "sem_seg_file_name": str(tmp_path / "labels.png"),
        "annotations": [square, {**square, "iscrowd": 1}],
    }, pixels


def with_rle(dataset_dict):
    """The same element with its masks as RLE (cropping polygons takes shapely)."""
    h, w = dataset_dict["height"], dataset_dict["width"]
    annotations = [
        {**ann, "segmentation": mask_util.merge(mask_util.frPyObjects(ann["segmentation"], h, w))}
        for ann in dataset_dict["annotations"]
    ]
    return {**dataset_dict, "annotations": annotations}


def config(mask_format="bitmask", crop=None):
    cfg = get_cfg()
    cfg.MODEL.MASK_ON = True
    cfg.INPUT.MASK_FORMAT = mask_format
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST = (20,), 20
    cfg.INPUT.RANDOM_FLIP = "none"
    if crop:
        cfg.INPUT.CROP.ENABLED, cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE = True, "absolute", crop
    return cfg


@pytest.mark.parametrize("mask_format", ["bitmask", "polygon"])
def test_training_element(element, mask_format):
    dataset_dict, pixels = element
    before = copy.deepcopy(dataset_dict)
    mapped = DatasetMapper(config(mask_format), is_train=True)(dataset_dict)
    assert dataset_dict == before
    assert torch.equal(mapped["image"], torch.from_numpy(pixels[:, :, ::-1].transpose(2, 0, 1).copy()))
    assert mapped["image_id"] == 7 and "annotations" not in mapped
    instances = mapped["instances"]
    assert instances.image_size == (20, 30) and instances.gt_classes.tolist() == [2]
    assert instances.gt_boxes.tensor.tolist() == [[10, 5, 20, 15]]
    assert mapped["sem_seg"].dtype == torch.int64
    if mask_format == "bitmask":
        assert torch.equal(instances.gt_masks.tensor[0], mapped["sem_seg"] == 2)


def test_test_element_has_no_annotations(element):
    mapped = DatasetMapper(config(), is_train=False)(element[0])
    assert mapped["image"].shape == (3, 20, 30)
    assert "annotations" not in mapped and "instances" not in mapped


def test_boxes_become_tight_after_a_crop(element):
    np.random.seed(0)
    mapper = DatasetMapper(config(crop=[12, 16]), is_train=True)
    seen = set()
    for _ in range(20):
        instances = mapper(with_rle(element[0]))["instances"]
        if len(instances):
            mask = instances.gt_masks.tensor[0]
            ys, xs = torch.where(mask)
            tight = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            assert instances.gt_boxes.tensor[0].tolist() == [int(v) for v in tight]
        seen.add(len(instances))
    assert 1 in seen


def test_crop_that_cuts_everything_away(element):
    np.random.seed(0)
    mapper = DatasetMapper(config(crop=[2, 2]), is_train=True)
    counts = {len(mapper(with_rle(element[0]))["instances"]) for _ in range(30)}
    assert counts == {0, 1}


@pytest.mark.skipif(not IS_D2LITE, reason="Detectron2's mapper fails without annotations after a crop")
def test_image_without_annotations_and_with_crop(element):
    dataset_dict = {**element[0], "annotations": []}
    mapped = DatasetMapper(config(crop=[4, 4]), is_train=True)(dataset_dict)
    assert len(mapped["instances"]) == 0


def test_crop_of_polygons(element):
    pytest.importorskip("shapely")
    np.random.seed(0)
    instances = DatasetMapper(config("polygon", crop=[19, 19]), is_train=True)(element[0])["instances"]
    assert instances.gt_masks.get_bounding_boxes().tensor.tolist() == instances.gt_boxes.tensor.tolist()


def test_explicit_arguments(element):
    mapper = DatasetMapper(True, augmentations=[T.ResizeTransform(20, 30, 10, 15)], image_format="L")
    mapped = mapper(element[0])
    assert mapped["image"].shape == (1, 10, 15)
    assert not mapped["instances"].has("gt_masks")
    np.testing.assert_allclose(mapped["instances"].gt_boxes.tensor, [[5, 2.5, 10, 7.5]])


def test_recomputed_boxes_need_masks():
    with pytest.raises(AssertionError):
        DatasetMapper(True, augmentations=[], image_format="RGB", recompute_boxes=True)
