import json
import logging
import multiprocessing
import os

import pytest
from PIL import Image

from detectron2.data import DatasetCatalog
from solo_d2.data.datasets import coco_cache, coco_format
from solo_d2.data.datasets.coco_format import register_coco_format
from solo_d2.utils.errors import InputError

NAME = "cached_set"


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A set of two images, one of whose annotations lacks its area; also small files are cached."""
    monkeypatch.setattr(coco_cache, "SMALLEST_CACHED", 0)
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (30, 20)).save(tmp_path / "images" / name)
    square = {
        "category_id": 3,
        "bbox": [2, 3, 10, 6],
        "segmentation": [[2, 3, 12, 3, 12, 9, 2, 9]],
        "iscrowd": 0,
    }
    content = {
        "images": [
            {"id": 1, "file_name": "a.png", "height": 20, "width": 30},
            {"id": 2, "file_name": "b.png", "height": 20, "width": 30},
        ],
        "annotations": [{**square, "id": 5, "image_id": 1, "area": 60}, {**square, "id": 6, "image_id": 2}],
        "categories": [{"id": 3, "name": "square"}],
    }
    path = tmp_path / "set.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def checks(monkeypatch):
    """Counts the checks that really run."""
    calls = []
    real = coco_format.clean_coco
    monkeypatch.setattr(coco_format, "clean_coco", lambda *args: calls.append(args) or real(*args))
    return calls


def _register(source, **kwargs):
    register_coco_format(NAME, source, source.parent / "images", source.parent / "cache", **kwargs)
    return DatasetCatalog.get(NAME)


def test_the_second_time_gives_the_same_records_and_warnings_without_a_check(source, checks, caplog):
    caplog.set_level(logging.WARNING)
    first = _register(source)
    warnings = [record.getMessage() for record in caplog.records]
    caplog.clear()
    assert _register(source) == first and len(checks) == 1
    assert [record.getMessage() for record in caplog.records] == warnings
    assert any("area taken from the mask" in line for line in warnings)


def _touch(path):
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
    "change",
    [
        lambda source, patch: source.write_text(source.read_text() + " "),
        lambda source, patch: _touch(source.parent / "images" / "a.png"),
        lambda source, patch: patch.setattr(coco_cache, "__version__", "another"),
        lambda source, patch: (source.parent / "cache" / f"{NAME}.cache").write_bytes(b"x" * 500),
        lambda source, patch: _flip_last_byte(source.parent / "cache" / f"{NAME}.cache"),
    ],
)
def test_a_changed_source_version_or_cache_is_checked_again(source, checks, monkeypatch, change):
    first = _register(source)
    change(source, monkeypatch)
    assert _register(source) == first and len(checks) == 2


def _flip_last_byte(path):
    stored = path.read_bytes()
    path.write_bytes(stored[:-1] + bytes([stored[-1] ^ 1]))


def test_other_settings_are_checked_again(source, checks):
    _register(source)
    _register(source, max_skipped=0.5)
    assert len(checks) == 2


def test_a_missing_image_is_looked_for_again(source, checks):
    moved = source.parent / "b.png"
    (source.parent / "images" / "b.png").rename(moved)
    assert len(_register(source, max_skipped=1.0)) == 1
    moved.rename(source.parent / "images" / "b.png")
    assert len(_register(source, max_skipped=1.0)) == 2 and len(checks) == 2
    (source.parent / "images" / "b.png").unlink()
    assert len(_register(source, max_skipped=1.0)) == 1


def test_an_error_is_not_kept(source):
    (source.parent / "images" / "a.png").rename(source.parent / "a.png")
    (source.parent / "images" / "b.png").unlink()
    with pytest.raises(InputError):
        _register(source)
    assert not (source.parent / "cache" / f"{NAME}.cache").exists()


def test_a_folder_that_cannot_be_written_is_no_obstacle(source, checks):
    content = json.loads(source.read_text())
    content["annotations"][1]["area"] = 60
    source.write_text(json.dumps(content))
    (source.parent / "cache").write_text("a file, not a folder")
    assert len(_register(source)) == 2 and len(_register(source)) == 2 and len(checks) == 2


def _check_slowly(source, started, results):
    def check():
        results.put("checked")
        started.wait()
        return {"images": []}, coco_cache.Findings()

    cache_file = source.parent / "cache" / "shared.cache"
    results.put(coco_cache.check_once(source, source.parent, [], cache_file, check)[0])


def test_of_several_processes_one_does_the_work(source):
    fork = multiprocessing.get_context("fork")
    started, results = fork.Event(), fork.Queue()
    processes = [fork.Process(target=_check_slowly, args=(source, started, results)) for _ in range(3)]
    for process in processes:
        process.start()
    outcomes = [results.get(timeout=60)]
    started.set()
    outcomes += [results.get(timeout=60) for _ in range(3)]
    for process in processes:
        process.join()
    assert outcomes.count("checked") == 1 and outcomes.count({"images": []}) == 3
