import logging
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.data import DatasetCatalog
from detectron2.utils import comm
from solo_d2.config import get_cfg
from solo_d2.data import TrainLoader, build_train_loader
from solo_d2.data.datasets import register_coco_format
from solo_d2.data.mappers import InstanceMapper
from solo_d2.scenes import generate_scenes
from solo_d2.utils.errors import InputError

NAME = "loader_test_scenes"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    root = generate_scenes(tmp_path_factory.mktemp("loader") / "scenes", 12, 1, size=64, workers=1)
    register_coco_format(NAME, root / "instances_train.json", root / "train" / "images", root)
    yield root
    DatasetCatalog.remove(NAME)


def _cfg(**changes):
    cfg = get_cfg()
    cfg.merge_from_list(
        ["DATASETS.TRAIN", (NAME,), "SOLVER.IMS_PER_BATCH", 4, "SEED", 7, "DATALOADER.NUM_WORKERS", 0]
        + [
            "MODEL.MASK_ON",
            True,
            "INPUT.MASK_FORMAT",
            "bitmask",
            "INPUT.MIN_SIZE_TRAIN",
            (48, 64, 80),
            "INPUT.CROP.ENABLED",
            True,
        ]
    )
    cfg.merge_from_list([value for item in changes.items() for value in item])
    return cfg


def _batches(cfg, count, start=0, seed=None):
    loader = build_train_loader(cfg)
    loader.start_iter = start
    if seed is not None:
        loader.seed = seed
    return [
        [(sample["file_name"], sample["image"], _masks(sample["instances"])) for sample in batch]
        for batch in islice(loader, count)
    ]


def _masks(instances):
    return instances.gt_masks.tensor if len(instances) else torch.zeros(0)


def _same(first, second):
    return len(first) == len(second) and all(
        a[0] == b[0] and a[1].shape == b[1].shape and torch.equal(a[1], b[1]) and torch.equal(a[2], b[2])
        for one, other in zip(first, second, strict=True)
        for a, b in zip(one, other, strict=True)
    )


def test_workers_do_not_change_the_stream(scenes):
    expected = _batches(_cfg(), 6)
    assert len({name for batch in expected for name, *_ in batch}) > 4
    assert _same(expected, _batches(_cfg(**{"DATALOADER.NUM_WORKERS": 2}), 6))


def test_resuming_goes_on_where_it_stopped(scenes):
    expected = _batches(_cfg(), 8)
    assert _same(expected[5:], _batches(_cfg(), 3, start=5))
    assert not _same(expected[:3], _batches(_cfg(), 3, start=5))


def test_seed_decides(scenes):
    expected = _batches(_cfg(), 3)
    assert not _same(expected, _batches(_cfg(SEED=8), 3))
    assert _same(expected, _batches(_cfg(SEED=8), 3, seed=7))


def test_negative_seed_is_drawn_and_can_be_kept(scenes):
    loader = build_train_loader(_cfg(SEED=-1))
    assert loader.seed >= 0
    expected = [[sample["file_name"] for sample in batch] for batch in islice(loader, 3)]
    again = build_train_loader(_cfg(SEED=-1))
    again.seed = loader.seed
    assert [[sample["file_name"] for sample in batch] for batch in islice(again, 3)] == expected


def test_iterating_leaves_the_random_state_alone(scenes):
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    _batches(_cfg(), 2)
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])


def test_empty_images_are_kept_or_dropped_by_the_key(scenes):
    names = {}
    for flag in (True, False):
        batches = _batches(_cfg(**{"DATALOADER.FILTER_EMPTY_ANNOTATIONS": flag}), 12)
        names[flag] = {name for batch in batches for name, *_ in batch}
    assert names[True] <= names[False]


def test_repeat_factor_sampler(scenes):
    changes = {"DATALOADER.SAMPLER_TRAIN": "RepeatFactorTrainingSampler", "DATALOADER.REPEAT_THRESHOLD": 0.9}
    first = _batches(_cfg(**changes), 4)
    assert _same(first, _batches(_cfg(**changes), 4))


def _records(count, upright=()):
    return [
        {"file_name": f"{number}.png", "width": 10, "height": 20 if number in upright else 5, "id": number}
        for number in range(count)
    ]


def _loader(count=20, mapper=lambda record: record, upright=(), **arguments):
    arguments = {"total_batch_size": 4, "seed": 0, **arguments}
    return TrainLoader(_records(count, upright), mapper=mapper, **arguments)


def _ids(loader, count):
    return [[sample["id"] for sample in batch] for batch in islice(loader, count)]


def _rank(monkeypatch, rank, world_size):
    monkeypatch.setattr(comm, "get_rank", lambda: rank)
    monkeypatch.setattr(comm, "get_world_size", lambda: world_size)


@pytest.mark.parametrize("grouping", [True, False])
def test_ranks_share_an_epoch_without_overlap(monkeypatch, grouping):
    seen = []
    for rank in (0, 1):
        _rank(monkeypatch, rank, 2)
        batches = _ids(_loader(aspect_ratio_grouping=grouping), 5)
        assert all(len(batch) == 2 for batch in batches)
        seen += [number for batch in batches for number in batch]
    assert sorted(seen) == list(range(20))


def test_augmentation_does_not_depend_on_the_number_of_ranks(monkeypatch):
    def mapper(record):
        return {"id": record["id"], "draw": np.random.rand()}

    def samples(rank, world_size, count):
        _rank(monkeypatch, rank, world_size)
        batches = islice(_loader(mapper=mapper), count)
        return [(sample["id"], sample["draw"]) for batch in batches for sample in batch]

    alone = samples(0, 1, 5)
    assert sorted(alone) == sorted(samples(0, 2, 5) + samples(1, 2, 5))


def test_records_without_sizes_are_not_grouped(caplog):
    records = [{"file_name": str(number)} for number in range(4)]
    with caplog.at_level(logging.WARNING):
        loader = TrainLoader(records, mapper=dict, total_batch_size=2, seed=1)
    assert "does not tell the images' sizes" in caplog.text
    assert [len(batch) for batch in islice(loader, 3)] == [2, 2, 2]


def test_aspect_ratio_grouping():
    upright = {0, 3, 4, 8, 9, 15}
    mixed = _ids(_loader(upright=upright, aspect_ratio_grouping=False), 30)
    grouped = _ids(_loader(upright=upright), 30)
    assert any(0 < len(upright & set(batch)) < 4 for batch in mixed)
    assert all(len(upright & set(batch)) in (0, len(set(batch))) for batch in grouped)


def test_mapper_that_leaves_a_record_out(caplog):
    def mapper(record):
        return record if record["id"] % 3 else None

    with caplog.at_level(logging.WARNING):
        first = _ids(_loader(mapper=mapper), 20)
    assert all(number % 3 for batch in first for number in batch)
    assert len(caplog.messages) == 7 and all("Cannot use" in message for message in caplog.messages)
    assert _ids(_loader(mapper=mapper), 20) == first
    plain = _ids(_loader(), 20)
    for got, wanted in zip(sum(first, []), sum(plain, []), strict=True):
        assert got == (wanted if wanted % 3 else wanted + 1)


@pytest.mark.parametrize("workers", [0, 1])
def test_corrupt_image_is_named_once_and_replaced(scenes, tmp_path, workers, caplog):
    good = tmp_path / "good.png"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(good)
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    records = [{"file_name": str(good), "width": 8, "height": 8, "annotations": []} for _ in range(20)]
    records[3]["file_name"] = str(bad)
    loader = TrainLoader(
        records, mapper=InstanceMapper(_cfg(), True), total_batch_size=5, seed=0, num_workers=workers
    )
    with caplog.at_level(logging.WARNING):
        for batch in islice(loader, 12):
            assert all(sample["file_name"] == str(good) for sample in batch)
    named = [message for message in caplog.messages if "bad.jpg" in message]
    assert len(named) == 1 and "\n" not in named[0]


def _unreadable(ids):
    def mapper(record):
        if record["id"] in ids:
            raise OSError("truncated")
        return record

    return mapper


@pytest.mark.parametrize("workers", [0, 2])
def test_too_many_unreadable_images_stop(workers):
    loader = _loader(mapper=_unreadable({1, 5, 9}), num_workers=workers)
    with pytest.raises(InputError, match=r"3 of 20 training images cannot be read.*truncated"):
        _ids(loader, 50)
    _ids(_loader(mapper=_unreadable({1, 5}), num_workers=workers), 50)


def test_ten_in_a_row_stop():
    loader = _loader(200, mapper=_unreadable(set(range(200))))
    with pytest.raises(InputError, match="10 training images in a row"):
        _ids(loader, 1)


@pytest.mark.parametrize("workers", [0, 1])
def test_bugs_in_the_mapper_are_not_swallowed(workers):
    def mapper(record):
        return record["no such key"]

    with pytest.raises(KeyError, match="no such key"):
        _ids(_loader(mapper=mapper, num_workers=workers), 1)


def test_a_broken_pipe_is_a_lost_worker(scenes, monkeypatch):
    def lose_the_worker(*args, **kwargs):
        yield []
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr("solo_d2.data.loader.DataLoader", lose_the_worker)
    batches = iter(build_train_loader(_cfg()))
    assert next(batches) == []
    with pytest.raises(RuntimeError, match=r"^DataLoader worker \(pid unknown\) is gone: Connection reset"):
        next(batches)


def test_impossible_settings(scenes, monkeypatch):
    for change, line in [
        ({"DATASETS.TRAIN": ()}, "DATASETS.TRAIN is empty"),
        ({"DATASETS.TRAIN": ("nothing",)}, "nothing"),
        ({"DATALOADER.SAMPLER_TRAIN": "Other"}, "Other"),
    ]:
        with pytest.raises(InputError, match=line):
            build_train_loader(_cfg(**change))
    with pytest.raises(InputError, match="no training image"):
        TrainLoader([], mapper=None, total_batch_size=1)
    _rank(monkeypatch, 0, 3)
    with pytest.raises(
        InputError, match=r"^SOLVER.IMS_PER_BATCH 4 must be a multiple of the number of processes \(3\)"
    ):
        build_train_loader(_cfg())


@pytest.mark.parametrize(
    ("mask_format", "line"),
    [
        ("polygon", r"are RLE, no polygons: set INPUT\.MASK_FORMAT bitmask$"),
        ("bits", r"MASK_FORMAT 'bits' is unknown: use bitmask or polygon$"),
    ],
)
def test_masks_that_a_format_cannot_hold_are_found_before_training(scenes, mask_format, line):
    with pytest.raises(InputError, match=line):
        build_train_loader(_cfg(**{"INPUT.MASK_FORMAT": mask_format}))
    assert len(next(iter(build_train_loader(_cfg(**{"INPUT.MASK_FORMAT": "bitmask"}))))) == 4


def test_what_reads_no_annotations_takes_any_format(scenes):
    def mapper(record):
        return record

    mapper.needs_annotations = False
    batch = next(iter(build_train_loader(_cfg(**{"INPUT.MASK_FORMAT": "polygon"}), mapper)))
    assert len(batch) == 4 and not any("annotations" in record for record in batch)
