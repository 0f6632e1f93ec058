import logging
from itertools import islice

import numpy as np
import pytest
import torch

from detectron2.config import get_cfg
from detectron2.data import (
    DatasetCatalog,
    DatasetFromList,
    MetadataCatalog,
    build_batch_data_loader,
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
    print_instances_class_histogram,
)
from detectron2.data.build import (
    filter_images_with_only_crowd_annotations,
    trivial_batch_collator,
    worker_init_reset_seed,
)
from detectron2.data.samplers import RepeatFactorTrainingSampler, TrainingSampler


def element(image_id, *categories, crowd=False, size=(40, 30)):
    anns = [{"category_id": c, "iscrowd": int(crowd)} for c in categories]
    return {"image_id": image_id, "width": size[0], "height": size[1], "annotations": anns}


@pytest.fixture
def datasets():
    contents = {
        "build_a": [element(0, 0), element(1), element(2, 1, crowd=True), element(3, 0, 1)],
        "build_b": [element(4, 1)],
        "build_other": [element(5, 0)],
        "build_empty": [],
        "build_nothing": [element(6)],
    }
    for name, dicts in contents.items():
        DatasetCatalog.register(name, lambda dicts=dicts: dicts)
        classes = ["x", "y"] if name != "build_other" else ["z"]
        MetadataCatalog.get(name).thing_classes = classes
    yield
    for name in contents:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def ids(batches):
    return [x["image_id"] for batch in batches for x in batch]


def test_images_without_usable_annotations_are_filtered(datasets):
    dicts = DatasetCatalog.get("build_a")
    assert [d["image_id"] for d in filter_images_with_only_crowd_annotations(dicts)] == [0, 3]


def test_datasets_are_joined(datasets):
    joined = get_detection_dataset_dicts(["build_a", "build_b"])
    assert [d["image_id"] for d in joined] == [0, 3, 4]
    assert len(get_detection_dataset_dicts("build_a", filter_empty=False)) == 4


def test_datasets_that_cannot_be_used(datasets):
    for names in ([], ["build_empty"], ["build_nothing"]):
        with pytest.raises(AssertionError):
            get_detection_dataset_dicts(names)
    with pytest.raises(ValueError, match="thing_classes"):
        get_detection_dataset_dicts(["build_a", "build_other"])


def test_histogram(caplog):
    dicts = [element(0, 0, 0, 2), element(1, 2, crowd=True)]
    with caplog.at_level(logging.INFO):
        logging.getLogger("detectron2").propagate = True
        print_instances_class_histogram(dicts, ["cat", "a very long class name", "dog"])
    words = caplog.text.replace("|", " ").split()
    assert words[words.index("cat") + 1] == "2" and words[words.index("dog") + 1] == "1"
    assert words[words.index("total") + 1] == "3"
    with pytest.raises(AssertionError, match="category_id"):
        print_instances_class_histogram(dicts, ["cat"])


def test_train_loader_with_arguments():
    dicts = [element(i) for i in range(5)]
    loader = build_detection_train_loader(
        dicts,
        mapper=lambda d: {**d, "seen": True},
        sampler=TrainingSampler(5, seed=1),
        total_batch_size=2,
        aspect_ratio_grouping=False,
    )
    batches = list(islice(loader, 5))
    assert all(len(batch) == 2 and batch[0]["seen"] for batch in batches)
    assert ids(batches) == list(islice(TrainingSampler(5, seed=1), 10))


def test_train_loader_groups_by_orientation():
    dicts = [element(i, size=(40, 30) if i % 2 else (30, 40)) for i in range(10)]
    loader = build_detection_train_loader(dicts, mapper=None, total_batch_size=4)
    for batch in islice(loader, 8):
        assert len({x["width"] > x["height"] for x in batch}) == 1 and len(batch) == 4


def test_train_loader_in_workers_covers_an_epoch():
    dicts = [element(i) for i in range(8)]
    loader = build_detection_train_loader(
        dicts,
        mapper=None,
        sampler=TrainingSampler(8, seed=0),
        total_batch_size=2,
        aspect_ratio_grouping=False,
        num_workers=2,
    )
    assert sorted(ids(islice(loader, 4))) == list(range(8))


def test_collate_function():
    kwargs = dict(mapper=None, total_batch_size=2, collate_fn=len)
    dicts = [element(i) for i in range(4)]
    for grouping in (True, False):
        loader = build_detection_train_loader(dicts, aspect_ratio_grouping=grouping, **kwargs)
        assert list(islice(loader, 3)) == [2, 2, 2]


def test_train_loader_from_config(datasets):
    cfg = get_cfg()
    cfg.DATASETS.TRAIN = ("build_a", "build_b")
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.SOLVER.IMS_PER_BATCH = 1
    loader = build_detection_train_loader(cfg, mapper=lambda d: d)
    assert set(ids(islice(loader, 30))) == {0, 3, 4}
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    cfg.DATALOADER.SAMPLER_TRAIN = "RepeatFactorTrainingSampler"
    cfg.DATALOADER.REPEAT_THRESHOLD = 1.0
    loader = build_detection_train_loader(cfg, mapper=lambda d: d)
    assert set(ids(islice(loader, 60))) == {0, 1, 2, 3, 4}
    cfg.DATALOADER.SAMPLER_TRAIN = "Nonsense"
    with pytest.raises(ValueError, match="Nonsense"):
        build_detection_train_loader(cfg, mapper=lambda d: d)


def test_own_dataset_and_sampler_with_a_config(datasets):
    cfg = get_cfg()
    cfg.DATALOADER.NUM_WORKERS, cfg.SOLVER.IMS_PER_BATCH = 0, 2
    cfg.DATALOADER.ASPECT_RATIO_GROUPING = False
    dicts = DatasetCatalog.get("build_a")
    sampler = RepeatFactorTrainingSampler(torch.ones(4), shuffle=False)
    loader = build_detection_train_loader(cfg, mapper=lambda d: d, dataset=dicts, sampler=sampler)
    assert ids(islice(loader, 3)) == [0, 1, 2, 3, 0, 1]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_test_loader_with_arguments(batch_size):
    dicts = [element(i) for i in range(5)]
    loader = build_detection_test_loader(dicts, mapper=None, batch_size=batch_size)
    assert ids(loader) == list(range(5))
    assert len(loader) == -(-5 // batch_size)


def test_test_loader_from_config_keeps_empty_images(datasets):
    cfg = get_cfg()
    cfg.DATALOADER.NUM_WORKERS = 0
    loader = build_detection_test_loader(cfg, "build_a", mapper=lambda d: d)
    assert ids(loader) == [0, 1, 2, 3]


def test_batch_size_is_divided_among_processes(monkeypatch):
    import detectron2.data.build as build

    monkeypatch.setattr(build, "get_world_size", lambda: 2)
    data, sampler = DatasetFromList([1, 2, 3, 4]), TrainingSampler(4, seed=0)
    assert len(next(iter(build_batch_data_loader(data, sampler, 6)))) == 3
    with pytest.raises(AssertionError, match="divisible"):
        build_batch_data_loader(data, sampler, 3)


def test_collator_and_worker_seeds():
    batch = [{"a": 1}]
    assert trivial_batch_collator(batch) is batch
    torch.manual_seed(0)
    worker_init_reset_seed(0)
    first = np.random.rand()
    torch.manual_seed(0)
    worker_init_reset_seed(1)
    assert first != np.random.rand()
