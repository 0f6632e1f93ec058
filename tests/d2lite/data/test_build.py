import logging

import pytest

from detectron2.config import get_cfg
from detectron2.data import (
    DatasetCatalog,
    MetadataCatalog,
    build_detection_test_loader,
    get_detection_dataset_dicts,
    print_instances_class_histogram,
)
from detectron2.data.build import filter_images_with_only_crowd_annotations, trivial_batch_collator


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
        print_instances_class_histogram(dicts, ["cat", "a very long class name", "dog"])
    words = caplog.text.replace("|", " ").split()
    assert words[words.index("cat") + 1] == "2" and words[words.index("dog") + 1] == "1"
    assert words[words.index("total") + 1] == "3"
    with pytest.raises(AssertionError, match="category_id"):
        print_instances_class_histogram(dicts, ["cat"])


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


def test_test_loader_maps_in_workers():
    loader = build_detection_test_loader(
        [element(i) for i in range(4)], mapper=mark_as_seen, num_workers=1, collate_fn=tuple
    )
    assert [batch[0]["image_id"] for batch in loader] == [0, 1, 2, 3]
    assert all(batch[0]["seen"] for batch in loader)


def mark_as_seen(record):
    return {**record, "seen": True}


def test_collator():
    batch = [{"a": 1}]
    assert trivial_batch_collator(batch) is batch
