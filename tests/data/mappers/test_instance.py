import copy

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from detectron2.structures import BoxMode
from solo_d2.config import get_cfg
from solo_d2.data.mappers import InstanceMapper
from solo_d2.utils.errors import InputError
from solo_d2.utils.image_file import UNREADABLE

POLYGON = [[2.0, 3.0, 12.0, 3.0, 12.0, 9.0, 2.0, 9.0]]


RLE = {"size": [20, 30], "counts": [60, 400, 140]}


def _annotation(segmentation, iscrowd):
    if isinstance(segmentation, dict):
        segmentation = coco_mask.frPyObjects(segmentation, *segmentation["size"])
    box = {"bbox": [2, 3, 10, 6], "bbox_mode": BoxMode.XYWH_ABS}
    return {**box, "category_id": 0, "segmentation": segmentation, "iscrowd": iscrowd}


@pytest.fixture
def record(tmp_path):
    Image.fromarray(np.full((20, 30, 3), 9, np.uint8)).save(tmp_path / "a.png")
    return {"file_name": str(tmp_path / "a.png"), "height": 20, "width": 30, "image_id": 1}


def _mapper(mask_format="bitmask", crop=True, is_train=True):
    cfg = get_cfg()
    cfg.MODEL.MASK_ON = True
    cfg.INPUT.MASK_FORMAT = mask_format
    cfg.INPUT.CROP.ENABLED = crop
    cfg.INPUT.MIN_SIZE_TRAIN = (40,)
    return InstanceMapper(cfg, is_train)


# Detectron2 crops polygons only where shapely is installed, so crops are tried on run-length masks.
@pytest.mark.parametrize(("mask_format", "crop"), [("bitmask", True), ("bitmask", False), ("polygon", False)])
@pytest.mark.parametrize("crowd_flags", [[], [1], [0], [0, 1]])
def test_all_fields_are_there(record, crowd_flags, mask_format, crop):
    segmentation = RLE if crop else POLYGON
    record["annotations"] = [_annotation(segmentation, iscrowd) for iscrowd in crowd_flags]
    before = copy.deepcopy(record)
    sample = _mapper(mask_format, crop)(record)
    assert record == before
    instances = sample["instances"]
    assert instances.image_size == tuple(sample["image"].shape[1:])
    assert len(instances) <= crowd_flags.count(0)
    assert crop or len(instances) == crowd_flags.count(0)
    assert instances.gt_boxes.tensor.shape == (len(instances), 4)
    assert instances.gt_classes.dtype == torch.int64
    assert len(instances.gt_masks) == len(instances)
    if mask_format == "bitmask":
        assert instances.gt_masks.tensor.shape == (len(instances), *instances.image_size)


def test_other_uses_are_detectron2s(record):
    assert "instances" not in _mapper(crop=False)(record)
    record["annotations"] = []
    assert "instances" not in _mapper(crop=False, is_train=False)(record)


def test_extra_fields_follow_the_instances_that_are_left(record):
    outside = {**_annotation(RLE, 0), "bbox": [2, 3, 0, 0], "embedding": [9.0, 9.0]}  # dropped: no extent
    record["annotations"] = [
        {**_annotation(RLE, 0), "category_id": 7},
        outside,
        {**_annotation(RLE, 1), "embedding": [8.0, 8.0]},
        {**_annotation(RLE, 0), "category_id": 3, "embedding": np.array([1.0, 2.0], np.float32)},
        {**_annotation(RLE, 0), "category_id": 5, "mask_withheld": 1},
    ]
    before = copy.deepcopy(record)
    instances = _mapper(crop=False)(record)["instances"]
    assert str(record) == str(before)
    assert instances.gt_classes.tolist() == [7, 3, 5]
    assert instances.gt_embeddings.tolist() == [[0, 0], [1, 2], [0, 0]]
    assert instances.gt_embeddings.dtype == torch.float32
    assert instances.gt_has_mask.tolist() == [True, True, False]


def test_without_extra_keys_there_are_no_extra_fields(record):
    record["annotations"] = [_annotation(RLE, 0)]
    instances = _mapper(crop=False)(record)["instances"]
    assert set(instances.get_fields()) == {"gt_boxes", "gt_classes", "gt_masks"}


def test_an_image_too_large_to_open_is_unreadable(record, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(UNREADABLE, match="exceeds limit"):
        _mapper()({**record, "annotations": []})


@pytest.mark.parametrize("is_train", [True, False])
def test_pixels_of_more_than_8_bits_are_unreadable(record, is_train):
    Image.fromarray(np.full((20, 30), 900, np.uint16)).save(record["file_name"])
    with pytest.raises(UNREADABLE, match="more than 8 bits"):
        _mapper(is_train=is_train)({**record, "annotations": []})


def test_the_image_file_is_opened_once(record, monkeypatch):
    opened = []
    real = Image.open
    monkeypatch.setattr(Image, "open", lambda file: opened.append(file) or real(file))
    record["annotations"] = [_annotation(RLE, 0)]
    _mapper()(record)
    assert len(opened) == 1


@pytest.mark.parametrize("size", [(5000, 1), (1, 5000)])
def test_strips_keep_a_pixel(record, size):
    Image.new("RGB", size).save(record["file_name"])
    box = {"bbox": [0, 0, size[0], 1], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 0, "iscrowd": 0}
    record.update(width=size[0], height=size[1], annotations=[box])
    sample = _mapper("polygon", crop=False)(record)
    assert min(sample["image"].shape) == 1 and len(sample["instances"]) <= 1


def test_a_semantic_map_comes_along(record):
    labels = np.arange(600, dtype=np.uint8).reshape(20, 30)
    path = record["file_name"].replace("a.png", "labels.png")
    Image.fromarray(labels).save(path)
    mapper = _mapper(crop=False)
    sample = mapper({**record, "sem_seg_file_name": path, "annotations": []})
    assert sample["sem_seg"].shape == sample["image"].shape[1:] and sample["sem_seg"].dtype == torch.int64
    assert set(sample["sem_seg"].unique().tolist()) <= set(labels.ravel().tolist())
    assert "sem_seg" not in _mapper(crop=False, is_train=False)({**record, "sem_seg_file_name": path})


def test_large_scale_jitter_keeps_boxes_and_masks_together(record):
    cfg = get_cfg()
    cfg.MODEL.MASK_ON, cfg.INPUT.MASK_FORMAT, cfg.INPUT.MIN_SIZE_TRAIN = True, "bitmask", (40,)
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.SCALE_JITTER.ENABLED = 40, True
    record["annotations"] = [_annotation(POLYGON, 0)]
    sizes, cut = set(), 0
    for seed in range(12):
        np.random.seed(seed)
        sample = InstanceMapper(cfg, True)(record)
        sizes.add(tuple(sample["image"].shape[1:]))
        for box, mask in zip(
            sample["instances"].gt_boxes.tensor, sample["instances"].gt_masks.tensor, strict=True
        ):
            rows, columns = torch.nonzero(mask, as_tuple=True)
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            cut += bool(mask[:, 0].any() or mask[0].any())
    assert len(sizes) > 3 and max(sizes) == (40, 60) and cut
    assert InstanceMapper(cfg, False)(record)["image"].shape == (3, 40, 60)
    cfg.INPUT.SCALE_JITTER.FACTORS = [2.0, 1.0]
    with pytest.raises(InputError, match=r"INPUT\.SCALE_JITTER\.FACTORS is two numbers above 0"):
        InstanceMapper(cfg, True)
