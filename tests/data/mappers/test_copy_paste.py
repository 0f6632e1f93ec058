import numpy as np
import pytest

from detectron2.data import DatasetCatalog
from detectron2.data.datasets import load_coco_json
from solo_d2.config import get_cfg
from solo_d2.data import TrainLoader, build_train_loader
from solo_d2.data.augmentations.copy_paste import CopyPaste
from solo_d2.data.mappers import CopyPasteMapper, InstanceMapper
from solo_d2.scenes import generate_scenes
from solo_d2.utils.errors import InputError


class Joined(CopyPaste):
    """Says what would be pasted onto what."""

    def __call__(self, sample, source):
        return {**sample, "source": source["id"]}


RECORDS = [{"id": number, "width": 8, "height": 8} for number in range(6)]


def test_pastes_from_other_records_of_the_same_mapper():
    mapper = CopyPasteMapper(lambda record: {**record, "mapped": True}, RECORDS, Joined(1.0, 0.9))
    np.random.seed(0)
    samples = [mapper(RECORDS[2]) for _ in range(40)]
    assert all(sample["mapped"] and sample["id"] == 2 for sample in samples)
    assert {sample["source"] for sample in samples} == set(range(6))


def test_probability_0_maps_only_the_record():
    calls = []
    mapper = CopyPasteMapper(lambda record: calls.append(record) or record, RECORDS, Joined(0.0, 0.9))
    assert "source" not in mapper(RECORDS[1]) and calls == [RECORDS[1]]


def test_unreadable_sources_are_left_and_unreadable_records_are_not():
    def read(record):
        if record["id"] != 2:
            raise OSError("truncated")
        return record

    mapper = CopyPasteMapper(read, RECORDS, Joined(1.0, 0.9))
    np.random.seed(1)
    assert any("source" not in mapper(RECORDS[2]) for _ in range(20))
    with pytest.raises(OSError):
        mapper(RECORDS[3])
    assert CopyPasteMapper(lambda record: None, RECORDS, Joined(1.0, 0.9))(RECORDS[0]) is None


def test_loader_pastes_what_the_seed_says(tmp_path):
    root = generate_scenes(tmp_path / "scenes", 6, 1, size=64, workers=1)
    records = load_coco_json(str(root / "instances_train.json"), str(root / "train" / "images"))
    cfg = get_cfg()
    cfg.MODEL.MASK_ON = True
    cfg.INPUT.MASK_FORMAT = "bitmask"
    cfg.INPUT.MIN_SIZE_TRAIN = (64,)

    def counts(workers, **kwargs):
        loader = TrainLoader(
            records,
            mapper=InstanceMapper(cfg, True),
            total_batch_size=6,
            seed=3,
            num_workers=workers,
            **kwargs,
        )
        return [len(sample["instances"]) for sample in next(iter(loader))]

    pasted = counts(0, copy_paste=CopyPaste(1.0, 0.9))
    assert pasted == counts(1, copy_paste=CopyPaste(1.0, 0.9)) and sum(pasted) > sum(counts(0))


@pytest.mark.parametrize(
    ("record", "line"),
    [
        ({}, "INPUT.COPY_PASTE needs bit masks: set INPUT.MASK_FORMAT bitmask"),
        ({"sem_seg_file_name": "a.png"}, "INPUT.COPY_PASTE cannot paste semantic labels: set"),
        ({"pan_seg_file_name": "a.png"}, "INPUT.COPY_PASTE cannot paste semantic labels: set"),
    ],
)
def test_what_cannot_be_pasted_is_told_before_training(record, line):
    annotation = {"segmentation": [[0, 0, 4, 0, 4, 4]], "category_id": 0, "iscrowd": 0}
    DatasetCatalog.register(
        "polygons", lambda: [{"file_name": "a.jpg", "annotations": [annotation], **record}]
    )
    cfg = get_cfg()
    cfg.DATASETS.TRAIN = ("polygons",)
    cfg.INPUT.MASK_FORMAT = "polygon"
    cfg.INPUT.COPY_PASTE.ENABLED = True
    try:
        with pytest.raises(InputError, match=line):
            build_train_loader(cfg)
    finally:
        DatasetCatalog.remove("polygons")


def test_config_switches_it_on():
    cfg = get_cfg()
    assert TrainLoader._copy_paste_from_config(cfg) is None
    cfg.INPUT.COPY_PASTE.ENABLED = True
    assert TrainLoader._copy_paste_from_config(cfg) == CopyPaste(0.5, 0.9)
