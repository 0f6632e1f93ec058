"""Labeling with a stand-in model: batches, order, processes, unreadable images."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from solo_d2.data.image_paths import list_images
from solo_d2.pseudo_labels import Labeling, ShardStore, run_labeling
from solo_d2.pseudo_labels import labeling as module
from solo_d2.pseudo_labels.labeling import (
    annotations_of,
    count_labels,
    group_by_shape,
    load_ahead,
    select_all,
)
from solo_d2.utils.errors import InputError


@pytest.fixture
def open_job(tmp_path, segmenter):
    def open_(root, shard_size=4, batch_size=2, name="shards"):
        images = list_images(root)
        store = ShardStore.open(tmp_path / name, {"shard size": shard_size}, images, shard_size)
        return Labeling(lambda device: segmenter, select_all, store, root, batch_size)

    return open_


def item(index, *shape):
    return index, {"image": torch.zeros(3, *shape)}


def test_batches_have_one_shape_and_few_wait():
    shapes = [(4, 4), (4, 6), (4, 4), (6, 4), (4, 4), (4, 6)]
    batches = list(group_by_shape((item(i, *shape) for i, shape in enumerate(shapes)), 2))
    assert [[index for index, _ in batch] for batch in batches] == [[0, 2], [1, 5], [3], [4]]
    many = list(group_by_shape((item(i, 1, i + 1) for i in range(30)), 2))
    assert [len(batch) for batch in many] == [1] * 30


def test_waiting_images_are_bounded():
    waiting = []

    def source():
        for index in range(40):
            waiting.append(index)
            yield item(index, 1, index + 1)

    seen = 0
    for batch in group_by_shape(source(), 3):
        seen += len(batch)
        assert len(waiting) - seen <= module._WAITING_BATCHES * 3
    assert seen == 40


def test_loading_stays_a_few_files_ahead(tmp_path):
    loaded = []

    def load(path):
        if path == 5:
            raise InputError("5 is damaged")
        loaded.append(path)
        return {"image": path}

    items = load_ahead(load, range(20), ahead=3)
    assert next(items) == (0, {"image": 0})
    assert len(loaded) <= 4
    rest = list(items)
    assert [index for index, _ in rest] == list(range(1, 20)) and isinstance(rest[4][1], InputError)


def test_labels_do_not_depend_on_batches_and_shards(make_images, open_job, tmp_path):
    root, texts = make_images(11), []
    for shard_size, batch_size in ((4, 2), (4, 5), (4, 1), (100, 3)):
        name = f"{shard_size}_{batch_size}"
        job = open_job(root, shard_size, batch_size, name)
        run_labeling(job, job.store.missing())
        job.store.merge(tmp_path / f"{name}.json")
        content = json.loads((tmp_path / f"{name}.json").read_text())
        texts.append(json.dumps([content["images"], content["annotations"]]))
    assert len(set(texts)) == 1
    images, annotations = json.loads(texts[0])
    assert [image["file_name"] for image in images] == [f"{i:04d}.png" for i in range(11)]
    assert images[2]["height"] == 24 and images[2]["width"] == 16
    assert len(annotations) == 9  # two of the images are empty


def test_only_missing_shards_are_made(make_images, open_job):
    job = open_job(make_images(8), 2)
    run_labeling(job, [1, 3])
    before = {path: path.stat().st_mtime_ns for path in job.store.folder.glob("00000[13].json")}
    assert job.store.missing() == [0, 2]
    run_labeling(job, job.store.missing())
    assert job.store.missing() == [] and before == {path: path.stat().st_mtime_ns for path in before}


def test_speed_is_reported(make_images, open_job, caplog):
    job = open_job(make_images(4))
    with caplog.at_level(logging.INFO):
        run_labeling(job, [0])
    assert "shard 0 (1 of 1): 4 images, 4 masks" in caplog.text
    assert "images/s" in caplog.text and "masks/s" in caplog.text


def test_unreadable_images_are_skipped_and_counted(make_images, open_job, caplog):
    root = make_images(12)
    (root / "0003.png").write_bytes(b"no image")
    job = open_job(root)
    with caplog.at_level(logging.WARNING):
        run_labeling(job, job.store.missing())
    totals = count_labels(job.store)
    assert (totals.images, totals.masks, totals.skipped) == (11, 9, 1)
    assert "0003.png cannot be read: it is no image" in caplog.text
    for name in ("0001.png", "0002.png"):
        (root / name).write_bytes(b"")
    worse = open_job(root, name="worse")
    run_labeling(worse, worse.store.missing())
    with pytest.raises(InputError, match="3 of 12 images cannot be read"):
        count_labels(worse.store)


def test_mended_images_are_read_again_and_the_other_shards_kept(make_images, open_job):
    """A disk that was away for a while costs the shards that it was away for."""
    root = make_images(12)
    job = open_job(root, shard_size=3)
    broken = {name: (root / name).read_bytes() for name in ("0003.png", "0004.png")}
    for name in broken:
        (root / name).unlink()
    run_labeling(job, job.store.missing())
    with pytest.raises(InputError, match="run the same command again"):
        count_labels(job.store)
    assert job.store.missing() == [1]
    for name, content in broken.items():
        (root / name).write_bytes(content)
    run_labeling(job, job.store.missing())
    assert count_labels(job.store).skipped == 0


def test_annotation_of_an_instance(make_images, segmenter):
    found = segmenter.find(segmenter.load(make_images(1) / "0000.png"))
    (annotation,) = annotations_of(found, image_id=42)
    mask = coco_mask.decode(annotation["segmentation"])
    assert isinstance(annotation["segmentation"]["counts"], str)
    assert np.array_equal(mask.astype(bool), found.pred_masks[0].numpy())
    assert annotation["area"] == mask.sum() == 4 * 12 and annotation["bbox"] == [3, 2, 12, 4]
    assert (annotation["image_id"], annotation["category_id"], annotation["iscrowd"]) == (42, 1, 0)
    assert annotation["score"] == 0.75 and len(annotation["embedding"]) == 128
    assert annotation["embedding"][0] == -1 and annotation["embedding"][-1] == 1
    json.dumps(annotation)


def test_no_instance_and_no_embedding(segmenter):
    dark = {"image": torch.zeros(3, 4, 4), "height": 4, "width": 4}
    found = segmenter.find(dark)
    assert annotations_of(found, 1) == []
    found = segmenter.find(dark | {"image": torch.full((3, 4, 4), 255)})
    found.remove("pred_embeddings")
    assert "embedding" not in annotations_of(found, 1)[0]


def test_select_decides_what_becomes_a_label(make_images, open_job, segmenter):
    job = replace(open_job(make_images(3)), select=lambda instances: instances[:0])
    assert job.label(segmenter, job.store.images_of(0)).annotations == []


def test_images_of_one_shape_share_a_batch(make_images, open_job, segmenter):
    job = open_job(make_images(6), shard_size=6, batch_size=2)
    run_labeling(job, [0])
    assert segmenter.batches == [[(3, 16, 24)] * 2, [(3, 16, 24)] * 2, [(3, 24, 16)] * 2]


@pytest.mark.parametrize(
    ("wanted", "devices"),
    [("cuda", ["cuda:0", "cuda:1", "cuda:0"]), ("cpu", [None] * 3), ("cuda:1", [None] * 3)],
)
def test_processes_obey_the_device(make_images, open_job, segmenter, monkeypatch, wanted, devices):
    asked = []
    monkeypatch.setattr(module.torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(module.torch, "set_num_threads", lambda count: None)
    job = replace(
        open_job(make_images(3), shard_size=1),
        make_segmenter=lambda device: asked.append(device) or segmenter,
        device=wanted,
    )
    for rank in range(3):
        module._work(rank, job, [0, 1, 2], 3, logging.WARNING)
    assert asked == devices and job.store.missing() == []
