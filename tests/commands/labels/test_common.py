"""Shared behavior of the commands that write labels: resuming, refusing, reporting."""

import json
import logging

import pytest

from solo_d2.commands.labels import common as module
from solo_d2.commands.labels.common import build_parser, label_images_from_config, settings_from_config
from solo_d2.config import get_cfg
from solo_d2.data.image_paths import list_images
from solo_d2.pseudo_labels.labeling import select_all
from solo_d2.utils.errors import InputError


@pytest.fixture
def run(tmp_path, make_images, segmenter):
    images = make_images(10)
    (tmp_path / "weights.pth").write_text("weights")

    def call(*flags, size=4, options=(), select=select_all, make=lambda cfg, device: segmenter):
        cfg = get_cfg()
        cfg.PSEUDO_LABELS.SHARD_SIZE, cfg.PSEUDO_LABELS.BATCH_SIZE = size, 2
        cfg.MODEL.WEIGHTS = str(tmp_path / "weights.pth")
        cfg.merge_from_list(list(options))
        base = ["--config-file", "x", "--images", str(images), "--output", str(tmp_path / "labels.json")]
        label_images_from_config(cfg, build_parser("x").parse_args([*base, *flags]), select, make)
        return (
            json.loads((tmp_path / "labels.json").read_text())
            if (tmp_path / "labels.json").exists()
            else None
        )

    return call


@pytest.fixture(autouse=True)
def heard(caplog):
    caplog.set_level(logging.INFO)


def test_labels_and_summary(run, caplog, tmp_path):
    content = run()
    assert len(content["images"]) == 10 and len(content["annotations"]) == 8
    assert "10 images, 8 masks -> " in caplog.text and "masks/s, with start-up" in caplog.text
    assert "nothing was found" not in caplog.text
    assert not (tmp_path / "labels.json.shards").exists()


def test_finding_nothing_is_said(run, caplog):
    content = run(select=lambda instances: instances[:0])
    assert len(content["images"]) == 10 and content["annotations"] == []
    assert "nothing was found in any image; docs/free_mask.md" in caplog.text


def test_finished_labels_are_not_made_again(run, tmp_path):
    run()
    before = (tmp_path / "labels.json").stat().st_mtime_ns

    def fail(cfg, device):
        raise AssertionError("a model was built")

    run(make=fail)
    run(options=["PSEUDO_LABELS.BATCH_SIZE", "3", "MODEL.DEVICE", "cpu"], make=fail)
    assert (tmp_path / "labels.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["MODEL.FREE_MASK.MASK_THR", "0.4"], "MODEL.FREE_MASK.MASK_THR was 0.5, is 0.4"),
        (["INPUT.MIN_SIZE_TEST", "320"], "INPUT.MIN_SIZE_TEST was 800, is 320"),
        (["PSEUDO_LABELS.UPDATE_THR", "0.5"], "PSEUDO_LABELS.UPDATE_THR was 0.3, is 0.5"),
    ],
)
def test_other_settings_are_refused(run, options, message):
    run()
    with pytest.raises(InputError, match=message):
        run(options=options)


def test_other_weights_and_images_are_refused(run, tmp_path):
    run()
    with pytest.raises(InputError, match="image names and ids"):
        run("--limit", "3")
    (tmp_path / "weights.pth").write_text("other weights")
    with pytest.raises(InputError, match="weights"):
        run()


def test_goes_on_after_a_stop(run, segmenter, tmp_path, monkeypatch):
    whole = run()
    (tmp_path / "labels.json").unlink()
    find, found = type(segmenter).find, []

    def stop_at_the_seventh(self, one):
        if len(found) == 6:
            raise KeyboardInterrupt
        found.append(one)
        return find(self, one)

    with monkeypatch.context() as patch:
        patch.setattr(type(segmenter), "find", stop_at_the_seventh)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert sorted(path.name for path in (tmp_path / "labels.json.shards").glob("00000?.json")) == [
        "000000.json"
    ]
    segmenter.batches.clear()
    assert run() == whole
    assert sum(map(len, segmenter.batches)) == 6  # the first shard's four images were not seen again


def test_parts_share_the_work(run, caplog, tmp_path):
    assert run("--part", "0/2") is None and "1 of 3 shards are left to other parts" in caplog.text
    parts = run("--part", "1/2")
    (tmp_path / "labels.json").unlink()
    assert parts == run()


def test_parts_that_end_together_both_succeed(run, caplog, tmp_path, monkeypatch):
    """The other part merges and removes the shards while this one is about to."""
    run("--part", "0/2")
    count = module.count_labels

    def count_after_the_other(store):
        store.merge(tmp_path / "labels.json", {})
        store.remove()
        return count(store)

    monkeypatch.setattr(module, "count_labels", count_after_the_other)
    content = run("--part", "1/2")
    assert len(content["images"]) == 10 and "labels.json was merged by another part" in caplog.text


def test_labels_cut_short_are_not_accepted(run, tmp_path):
    run()
    path = tmp_path / "labels.json"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="or is damaged: name another"):
        run()


def test_a_foreign_output_is_not_overwritten(run, tmp_path):
    (tmp_path / "labels.json").write_text('{"images": []}')
    with pytest.raises(InputError, match="was not made by this tool"):
        run()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--part", "2/2"], "2/2"),
        (["--part", "half"], "half"),
        (["--processes", "0"], "--processes: 0: it must be at least 1"),
        (["--limit", "0"], "--limit: 0: it must be at least 1"),
        (["--output", "labels.txt"], "labels.txt does not end in .json"),
    ],
)
def test_mistakes_are_one_line(run, flags, message):
    with pytest.raises(InputError, match=message) as info:
        run(*flags)
    assert "\n" not in str(info.value)


def test_settings_are_json(tmp_path, make_images):
    settings = settings_from_config(get_cfg(), list_images(make_images(2)))
    assert json.loads(json.dumps(settings)) == settings
    assert settings["MODEL.FREE_MASK.QUERY_SCALES"] == [1.0, 0.5, 0.25]
    assert "MODEL.DEVICE" not in settings and "PSEUDO_LABELS.BATCH_SIZE" not in settings
