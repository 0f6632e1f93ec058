import json

import numpy as np
import pytest
from PIL import Image

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode
from solo_d2.config import get_cfg
from solo_d2.data import build_train_loader
from solo_d2.data.datasets import lvis
from solo_d2.data.datasets.lvis import load_lvis
from solo_d2.utils.errors import InputError

NAME = "lvis_reader"
SQUARE = [10, 10, 30, 10, 30, 30, 10, 30]
CATEGORIES = [
    {"id": number, "name": name, "synonyms": [name], "frequency": frequency}
    for number, name, frequency in ((3, "zebra", "f"), (1, "acorn", "r"), (2, "bagel", "c"))
]


def annotation(number, image_id, category_id, polygon=SQUARE):
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": [10, 10, 20, 20],
        "area": 400,
        "segmentation": [polygon],
    }


def write_lvis(root, name="lvis_v1_val", count=4):
    """A file tree as LVIS users have it: ``lvis/<name>.json`` on COCO's ``train2017`` and ``val2017``."""
    images = []
    for number in range(count):
        folder = "train2017" if number % 2 else "val2017"
        (root / "coco" / folder).mkdir(parents=True, exist_ok=True)
        file_name = f"{number + 1:012d}.jpg"
        Image.fromarray(np.full((40, 50, 3), 90, np.uint8)).save(root / "coco" / folder / file_name)
        images.append(
            {
                "id": number + 1,
                "coco_url": f"http://images.cocodataset.org/{folder}/{file_name}",
                "height": 40,
                "width": 50,
                "neg_category_ids": [2],
                "not_exhaustive_category_ids": [],
            }
        )
    content = {
        "images": images[::-1],
        "categories": CATEGORIES,
        # The acorn is in one image, the zebra in all.
        "annotations": [annotation(1, 1, 1), *(annotation(2 + i, 1 + i, 3) for i in range(count))],
    }
    path = root / "lvis" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(autouse=True)
def forget():
    yield
    for catalog in (DatasetCatalog, MetadataCatalog):
        if NAME in catalog.list():
            catalog.remove(NAME)


def test_reads_images_of_both_folders_and_classes_by_id(tmp_path):
    records = load_lvis(str(write_lvis(tmp_path)), str(tmp_path / "coco"), NAME)
    assert [record["image_id"] for record in records] == [1, 2, 3, 4]
    assert records[1]["file_name"] == str(tmp_path / "coco" / "train2017" / "000000000002.jpg")
    assert records[0]["neg_category_ids"] == [2] and records[0]["not_exhaustive_category_ids"] == []
    metadata = MetadataCatalog.get(NAME)
    assert metadata.thing_classes == ["acorn", "bagel", "zebra"]
    assert metadata.thing_dataset_id_to_contiguous_id == {1: 0, 2: 1, 3: 2}
    assert [a["category_id"] for a in records[0]["annotations"]] == [0, 2]
    first = records[0]["annotations"][0]
    assert first["bbox_mode"] == BoxMode.XYWH_ABS and first["segmentation"] == [SQUARE]


def _with_annotations(path, *changes):
    content = json.loads(path.read_text())
    for number, change in enumerate(changes, start=90):
        content["annotations"].append({**annotation(number, 1, 1), **change})
    path.write_text(json.dumps(content))


SHORT, FAR = {"segmentation": [[1, 1, 2, 2]]}, {"segmentation": [[1e12, 0, 5, 5, 0, 5]]}


@pytest.mark.parametrize("change", [SHORT, FAR, {"bbox": None}, {"bbox": [1, 2, float("nan"), 3]}])
def test_unusable_annotations_are_counted_and_skipped(tmp_path, monkeypatch, change):
    warnings = []
    monkeypatch.setattr(lvis.logger, "warning", lambda text, *values: warnings.append(text % values))
    path = write_lvis(tmp_path)
    _with_annotations(path, change)
    records = load_lvis(str(path), str(tmp_path), NAME)
    assert len(records[0]["annotations"]) == 2
    assert len(warnings) == 1 and "1 of 6 annotations have no box" in warnings[0]


def test_too_many_unusable_annotations_are_one_line(tmp_path):
    path = write_lvis(tmp_path)
    _with_annotations(path, SHORT, FAR)
    with pytest.raises(InputError, match="2 of 7 annotations have no box, .*90; download it again"):
        load_lvis(str(path), str(tmp_path), NAME)


@pytest.mark.parametrize(
    ("section", "number", "line"),
    [("images", 1, "an id is used twice"), ("images", "x", "LVIS"), ("categories", True, "id True")],
)
def test_ids_must_be_different_whole_numbers(tmp_path, section, number, line):
    path = write_lvis(tmp_path)
    content = json.loads(path.read_text())
    content[section][0]["id"] = number
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=line):
        load_lvis(str(path), str(tmp_path), NAME)


@pytest.mark.parametrize(
    "content, message",
    [
        ("no json", "cannot be read as JSON"),
        (json.dumps({"images": [{"id": 1}], "categories": []}), "no LVIS annotation file"),
        (json.dumps([1]), "no LVIS annotation file"),
    ],
)
def test_another_file_is_one_line(tmp_path, content, message):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as info:
        load_lvis(str(path), "", NAME)
    assert "\n" not in str(info.value)


def test_rare_classes_come_more_often(tmp_path):
    path = write_lvis(tmp_path)
    DatasetCatalog.register(NAME, lambda: load_lvis(str(path), str(tmp_path / "coco"), NAME))
    cfg = get_cfg()
    cfg.DATASETS.TRAIN = (NAME,)
    cfg.DATALOADER.SAMPLER_TRAIN = "RepeatFactorTrainingSampler"
    cfg.DATALOADER.REPEAT_THRESHOLD = 1.0
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.INPUT.MASK_FORMAT = "bitmask"
    cfg.INPUT.MIN_SIZE_TRAIN = (40,)
    cfg.SOLVER.IMS_PER_BATCH = 1
    cfg.SEED = 1
    stream = iter(build_train_loader(cfg))
    seen = [next(stream)[0]["image_id"] for _ in range(100)]
    # The acorn's frequency is 1/4: its image's factor is sqrt(1 / (1/4)) = 2, the others' 1.
    assert seen.count(1) == pytest.approx(40, abs=4)
    assert seen.count(2) == pytest.approx(20, abs=4)
