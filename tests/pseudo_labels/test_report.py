"""The page about a run."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from solo_d2.data.image_paths import list_images
from solo_d2.inputs import to_array
from solo_d2.pseudo_labels import ShardStore
from solo_d2.pseudo_labels import report as module
from solo_d2.pseudo_labels.labeling import Totals
from solo_d2.pseudo_labels.report import write_report
from solo_d2.pseudo_labels.shards import Shard
from solo_d2.pseudo_labels.stages import Stage, StageRunner
from solo_d2.visualization.labels import LabelFile


class FewStages:
    """A pipeline of two measured stages and one label file."""

    seed = 3
    sample = 2
    measured = {"Free Mask alone": "masks_evaluation", "after training": "train_evaluation"}
    stages = [Stage(name, [], {}, []) for name in ("masks", "train")]

    def __init__(self, output, images):
        self.output, self.images, self.listed = output, str(images), list_images(images)
        self.label_stages = {"free masks": str(output / "masks" / "labels.json")}


@pytest.fixture
def pipeline(tmp_path, make_images):
    return FewStages(tmp_path / "run", make_images(3))


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def read(path):
    return to_array(path, "RGB")


def test_a_run_that_has_just_begun(pipeline):
    page = write_report(pipeline, StageRunner(pipeline.output), "python x", read).read_text()
    assert "`python x`" in page and "Seed: 3" in page and "![" not in page


def test_numbers_times_and_pictures(pipeline):
    out = pipeline.output
    write(out / "masks_evaluation" / "evaluation.json", {"segm/AP50": 2.34, "segm/AP": None, "other": 1.0})
    write(out / "train_evaluation" / "evaluation.json", {"segm/AP50": 7.96, "bbox/AP": 5.5})
    write(out / "masks" / "done.json", {"outputs": {}, "seconds": 12.4, "attempts": 2})
    write(out / "sample" / "done.json", {"outputs": {}, "seconds": 1, "attempts": 1})
    write(out / "masks" / "labels.json", {"images": [{"id": 1, "file_name": "0001.png"}], "annotations": []})
    page = write_report(pipeline, StageRunner(out), "python x", read).read_text()
    assert "|  | segm/AP50 | segm/AP | bbox/AP |" in page and "other" not in page
    assert "| Free Mask alone | 2.3 | - | - |" in page and "| after training | 8.0 | - | 5.5 |" in page
    assert "| masks | 12 | 2 | - | - | - | - | - |" in page and "| train |" not in page
    assert "Columns: image, free masks." in page and "(pictures.jpg)" in page
    sheet = to_array(out / "pictures.jpg", "RGB")
    assert sheet.shape[0] > 2 * 256 and not np.array_equal(sheet[:, :300], 255)


def test_pictures_come_before_the_last_stage(pipeline):
    """With --until masks, they are what one looks at before days of training."""
    content = {"images": [{"id": 1, "file_name": "0001.png"}], "annotations": []}
    write(pipeline.output / "masks" / "labels.json", content)
    page = write_report(pipeline, StageRunner(pipeline.output), "python x", read).read_text()
    assert "Columns: image, free masks." in page and (pipeline.output / "pictures.jpg").is_file()


def test_an_unreadable_image_does_not_cost_the_report(pipeline, caplog):
    write(pipeline.output / "masks" / "labels.json", {"images": [], "annotations": []})
    first, second = (pipeline.listed.root / name for name in pipeline.listed.names[:2])
    whole = write_report(pipeline, StageRunner(pipeline.output), "python x", read)
    height = to_array(pipeline.output / "pictures.jpg", "RGB").shape[0]
    first.write_bytes(b"no image")
    write_report(pipeline, StageRunner(pipeline.output), "python x", read)
    assert to_array(pipeline.output / "pictures.jpg", "RGB").shape[0] < height
    assert "not in the report: " in caplog.text and "0000.png" in caplog.text
    second.unlink()
    write_report(pipeline, StageRunner(pipeline.output), "python x", read)
    assert "Pictures" not in whole.read_text()


def test_pictures_fit_into_a_file(pipeline):
    write(pipeline.output / "masks" / "labels.json", {"images": [], "annotations": []})
    large = np.zeros((1400, 2000, 3), np.uint8)
    write_report(pipeline, StageRunner(pipeline.output), "python x", lambda path: large)
    assert to_array(pipeline.output / "pictures.jpg", "RGB").shape[1] < 2 * 700


def test_without_labels_to_evaluate_with(pipeline):
    pipeline.measured = {}
    page = write_report(pipeline, StageRunner(pipeline.output), "python x", read).read_text()
    assert "No labels were given" in page


def test_masks_are_counted(pipeline):
    out = pipeline.output
    store = ShardStore.open(out / "shards", {}, pipeline.listed, 10)
    store.write(0, Shard())
    store.merge(out / "masks" / "labels.json", asdict(Totals(images=4, masks=30, skipped=1)))
    for attempts, rate in ((1, "2.4"), (2, "-")):
        write(out / "masks" / "done.json", {"outputs": {}, "seconds": 12.5, "attempts": attempts})
        page = write_report(pipeline, StageRunner(out), "python x").read_text()
        assert "| images | unreadable images | masks | masks per image | masks/s |" in page
        assert f"| masks | 12 | {attempts} | 4 | 1 | 30 | 7.5 | {rate} |" in page


def test_label_files_are_read_once_and_for_pictures_only(pipeline, monkeypatch):
    out, asked = pipeline.output, []
    write(out / "masks" / "labels.json", {"images": [], "annotations": []})
    write(out / "sample" / "done.json", {"outputs": {}, "seconds": 1, "attempts": 1})
    monkeypatch.setattr(module, "read_labels", lambda path, names: asked.append(path) or LabelFile({}, {}))
    write_report(pipeline, StageRunner(out), "python x")
    assert asked == []
    write_report(pipeline, StageRunner(out), "python x", read)
    assert asked == [str(out / "masks" / "labels.json")]
