"""Targets from the panoptic PNG, augmented together with the image."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from detectron2.data.detection_utils import SizeMismatchError
from solo_d2.config import get_cfg
from solo_d2.data import build_train_loader
from solo_d2.data.datasets import register_panoptic_format
from solo_d2.data.mappers import PanopticMapper
from solo_d2.data.mappers.panoptic import panoptic_labels
from solo_d2.utils.image_file import UnreadableImage

NAME = "mapped_panoptic"


@pytest.fixture
def mapped(panoptic_set):
    """``.cfg`` that neither resizes nor flips, ``.records``, and ``.files``."""
    register_panoptic_format(NAME, panoptic_set.json, panoptic_set.panoptic, panoptic_set.images)
    cfg = get_cfg()
    cfg.DATASETS.TRAIN = (NAME,)
    cfg.MODEL.MASK_ON = True
    cfg.INPUT.MASK_FORMAT = "bitmask"
    cfg.INPUT.MIN_SIZE_TRAIN = (0,)
    cfg.INPUT.RANDOM_FLIP = "none"
    yield SimpleNamespace(cfg=cfg, records=DatasetCatalog.get(NAME), files=panoptic_set)
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def test_targets_without_augmentation(mapped):
    record = copy.deepcopy(mapped.records[0])
    sample = PanopticMapper(mapped.cfg, True)(mapped.records[0])
    assert mapped.records[0] == record, "the record is not changed"
    assert set(sample) == {"file_name", "image_id", "height", "width", "image", "instances", "sem_seg"}
    ids = torch.from_numpy(mapped.files.ids[0])
    expected = torch.where(ids == 70000, 1, torch.where(ids == 0, 255, 0))
    assert torch.equal(sample["sem_seg"], expected) and sample["sem_seg"].dtype == torch.int64
    instances = sample["instances"]
    assert torch.equal(instances.gt_masks.tensor, torch.stack([ids == 301, ids == 302]))
    assert instances.gt_boxes.tensor.tolist() == [[4, 5, 20, 15], [4, 20, 20, 30]]
    assert instances.gt_classes.tolist() == [0, 0], "the crowd is no instance"


def test_image_without_things_has_empty_targets(mapped):
    sample = PanopticMapper(mapped.cfg, True)(mapped.records[1])
    instances = sample["instances"]
    assert instances.gt_masks.tensor.shape == (0, 36, 32) and instances.gt_boxes.tensor.shape == (0, 4)
    assert instances.gt_classes.dtype == torch.int64 and (sample["sem_seg"] == 2).all()


def test_image_and_targets_are_augmented_alike(mapped):
    """The image's pixels tell their segment; after resizing, flipping and cropping they still do."""
    ids = mapped.files.ids[0]
    place = {number: index for index, number in enumerate([0, 70000, 301, 302, 400])}
    gray = np.vectorize(place.get)(ids).astype(np.uint8) * 60
    Image.fromarray(gray).convert("RGB").save(f"{mapped.files.images}/1.png")
    record = {**mapped.records[0], "file_name": f"{mapped.files.images}/1.png"}
    mapped.cfg.INPUT.MIN_SIZE_TRAIN = (64, 96)
    mapped.cfg.INPUT.RANDOM_FLIP = "horizontal"
    mapped.cfg.INPUT.CROP.ENABLED = True
    mapped.cfg.INPUT.CROP.SIZE = [0.6, 0.6]
    mapper = PanopticMapper(mapped.cfg, True)
    for seed in range(8):
        np.random.seed(seed)
        sample = mapper(record)
        image, instances = sample["image"][0], sample["instances"]
        assert sample["sem_seg"].shape == image.shape == instances.image_size
        pure = image % 60 == 0  # bilinear blends lie between segments
        wanted = torch.tensor([255, 1, 0, 0, 0])[(image // 60).long()]
        assert (sample["sem_seg"][pure] == wanted[pure]).float().mean() > 0.99
        for mask in instances.gt_masks.tensor:
            assert mask.any() and image[mask].median() in (120, 180)


def test_things_that_a_crop_removes_are_left_out(mapped):
    record = mapped.records[0]
    mapper = PanopticMapper(mapped.cfg, True)
    place = np.array([[0, 1, 3], [0, 1, 3]], np.uint16)  # segments 70000 and 302
    instances = mapper._instances(place, record["segments_info"])
    assert instances.gt_masks.tensor.tolist() == [[[False, False, True]] * 2]


def test_evaluation_and_other_records_are_detectron2s(mapped):
    sample = PanopticMapper(mapped.cfg, False)(mapped.records[0])
    assert "instances" not in sample and "sem_seg" not in sample and sample["image"].shape[0] == 3
    plain = {k: v for k, v in mapped.records[0].items() if k not in ("pan_seg_file_name", "segments_info")}
    plain["annotations"] = [{**a, "segmentation": [[4, 5, 20, 5, 20, 15]]} for a in plain["annotations"]]
    assert len(PanopticMapper(mapped.cfg, True)(plain)["instances"]) == 2


def test_png_of_another_size_is_named(mapped):
    record = {**mapped.records[0], "pan_seg_file_name": mapped.records[1]["pan_seg_file_name"]}
    with pytest.raises(SizeMismatchError, match=r"2.png is \(36, 32\), its image \(40, 48\)"):
        PanopticMapper(mapped.cfg, True)(record)


def test_pixels_of_more_than_8_bits_are_unreadable(mapped, tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((40, 48), 900, np.uint16)).save(path)
    with pytest.raises(UnreadableImage, match="more than 8 bits"):
        PanopticMapper(mapped.cfg, True)({**mapped.records[0], "file_name": str(path)})


def test_standard_numbering_becomes_the_models():
    standard = Metadata(
        stuff_classes=["cat", "dog", "sky", "sea"],
        thing_dataset_id_to_contiguous_id={3: 1, 5: 3},
        stuff_dataset_id_to_contiguous_id={9: 0, 11: 2},
    )
    assert panoptic_labels(standard) == ({1: 0, 3: 1}, {0: 1, 2: 2})
    separated = Metadata(
        stuff_classes=["things", "sky"],
        thing_dataset_id_to_contiguous_id={3: 0},
        stuff_dataset_id_to_contiguous_id={0: 0, 9: 1},
    )
    assert panoptic_labels(separated) == ({0: 0}, {1: 1})
    assert panoptic_labels(Metadata(thing_dataset_id_to_contiguous_id={7: 0})) == ({0: 0}, {})


def test_loader_chooses_the_mapper(mapped):
    mapped.cfg.SOLVER.IMS_PER_BATCH = 1
    mapped.cfg.DATALOADER.NUM_WORKERS = 0
    mapped.cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    loader = iter(build_train_loader(mapped.cfg))
    assert {len(next(loader)[0]["instances"]) for _ in range(4)} == {0, 2}
    assert "sem_seg" in next(loader)[0]
