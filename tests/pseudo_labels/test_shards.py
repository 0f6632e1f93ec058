"""The shard store: what is kept, what is noticed, what is merged."""

import json
import logging
from pathlib import Path

import pytest

from solo_d2.data.image_paths import ImagePaths
from solo_d2.pseudo_labels import ShardStore
from solo_d2.pseudo_labels.shards import Shard, read_counts, read_settings
from solo_d2.utils.errors import InputError

SETTINGS = {"threshold": 0.5, "scales": [1.0, 0.5]}
IMAGES = ImagePaths(Path("images"), tuple(f"{i}.png" for i in range(5)), (5, 6, 7, 8, 9))


@pytest.fixture
def store(tmp_path):
    return ShardStore.open(tmp_path / "shards", SETTINGS, IMAGES, 2)


def content_of(store, shard):
    listed = store.images_of(shard)
    return Shard(
        images=[{"id": i, "file_name": name, "height": 4, "width": 4} for i, name in listed],
        annotations=[{"image_id": i, "score": 0.25} for i, _ in listed for _ in range(i % 3)],
        skipped=["x.png is damaged"] if shard == 1 else [],
    )


def fill(store):
    for shard in range(store.num_shards):
        store.write(shard, content_of(store, shard))


def test_every_image_once_in_order(store):
    listed = [image for shard in range(store.num_shards) for image in store.images_of(shard)]
    assert store.num_shards == 3 and listed == list(zip(IMAGES.ids, IMAGES.names, strict=True))


def test_write_read_and_what_is_missing(store):
    assert store.missing() == [0, 1, 2] and store.read(1) is None
    store.write(1, content_of(store, 1))
    assert store.read(1) == content_of(store, 1)
    assert store.missing() == [0, 2] and store.missing(0, 2) == [0, 2] and store.missing(1, 2) == []


@pytest.mark.parametrize("damage", ["half", "bit", "empty", "other"])
def test_damaged_shards_are_made_again(store, caplog, damage):
    fill(store)
    path = store.folder / "000001.json"
    data = path.read_bytes()
    path.write_bytes(
        {
            "half": data[: len(data) // 2],
            "bit": data.replace(b"0.25", b"0.35", 1),
            "empty": b"",
            "other": (store.folder / "settings.json").read_bytes(),
        }[damage]
    )
    with caplog.at_level(logging.WARNING):
        assert store.missing() == [1]
    assert "000001.json is damaged and will be rebuilt" in caplog.text
    with pytest.raises(InputError, match="missing or damaged"):
        store.merge(store.folder / "out.json")
    assert not (store.folder / "out.json").exists()


def test_a_shard_of_other_settings_does_not_count(store):
    other = ShardStore(store.folder, SETTINGS | {"threshold": 0.6}, IMAGES, 2)
    other.write(0, content_of(store, 0))
    assert store.read(0) is None and other.read(0) is not None


def test_opened_again_it_keeps_its_shards_and_refuses_other_settings(store):
    fill(store)
    assert ShardStore.open(store.folder, SETTINGS, IMAGES, 2).missing() == []
    with pytest.raises(InputError, match=r"threshold was 0.5, is 0.7\): name another output"):
        ShardStore.open(store.folder, SETTINGS | {"threshold": 0.7}, IMAGES, 2)


@pytest.mark.parametrize("damaged", ["settings.json", "000001.json", "*"])
def test_any_file_may_be_lost(store, damaged):
    fill(store)
    for path in store.folder.glob(damaged):
        path.unlink()
    again = ShardStore.open(store.folder, SETTINGS, IMAGES, 2)
    assert again.missing() == {"settings.json": [], "000001.json": [1], "*": [0, 1, 2]}[damaged]
    fill(again)
    assert json.loads((store.folder / "settings.json").read_text()) == SETTINGS


def test_settings_cut_short_are_written_anew(store):
    (store.folder / "settings.json").write_text('{"thres')
    again = ShardStore.open(store.folder, SETTINGS, IMAGES, 3)
    assert again.num_shards == 2 and len(again.images_of(0)) == 3
    assert json.loads((store.folder / "settings.json").read_text()) == SETTINGS


def test_merged_file_is_coco(store, tmp_path):
    fill(store)
    store.merge(tmp_path / "labels.json")
    content = json.loads((tmp_path / "labels.json").read_text())
    assert content["categories"] == [{"id": 1, "name": "object"}]
    assert [image["id"] for image in content["images"]] == [5, 6, 7, 8, 9]
    assert [one["id"] for one in content["annotations"]] == list(range(1, 2 + 0 + 1 + 2 + 0 + 1))
    assert [one["image_id"] for one in content["annotations"]] == [5, 5, 7, 8, 8]
    assert read_settings(tmp_path / "labels.json") == SETTINGS
    assert read_counts(tmp_path / "labels.json") is None
    store.remove()
    assert not store.folder.exists()


def test_counts_and_settings_of_a_whole_file_only(store, tmp_path):
    fill(store)
    path = tmp_path / "labels.json"
    store.merge(path, {"images": 5, "masks": 5})
    assert read_counts(path) == {"images": 5, "masks": 5} and read_settings(path) == SETTINGS
    data = path.read_bytes()
    for size in (0, 2, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        assert read_counts(path) is None and read_settings(path) is None


def test_merged_without_any_mask(tmp_path):
    store = ShardStore.open(tmp_path / "shards", {}, IMAGES, 10)
    store.write(0, Shard())
    store.merge(tmp_path / "labels.json")
    assert json.loads((tmp_path / "labels.json").read_text())["annotations"] == []


@pytest.mark.parametrize("content", ["", "{}", '{"info": {"year": 2017}}', "no json\n"])
def test_files_of_others_have_no_settings(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    assert read_settings(tmp_path / "x.json") is None
