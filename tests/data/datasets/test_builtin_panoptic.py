import json

import numpy as np
import pytest

from detectron2.data import DatasetCatalog, MetadataCatalog
from solo_d2.data.datasets.builtin_panoptic import cityscapes_image_path, register_panoptic
from solo_d2.scenes import generate_scenes
from solo_d2.utils.atomic_file import write_bytes
from solo_d2.utils.errors import InputError
from solo_d2.utils.panoptic_png import encode_ids


@pytest.fixture
def registered(tmp_path):
    """Registers the built-in names below ``tmp_path``; whatever else had them is put back."""
    names = [
        f"{base}_{split}{rest}"
        for split in ("train", "val")
        for base, rest in (
            ("scenes_panoptic", ""),
            ("coco_2017", "_panoptic_segments"),
            ("cityscapes_panoptic", ""),
        )
    ]
    kept = {n: (DatasetCatalog[n], MetadataCatalog[n]) for n in names if n in DatasetCatalog}
    for name in kept:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    register_panoptic(tmp_path)
    yield tmp_path
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
        if name in kept:
            DatasetCatalog[name], MetadataCatalog[name] = kept[name]


def test_scenes(registered):
    generate_scenes(registered / "scenes", num_train=2, num_val=1, size=64)
    records = DatasetCatalog.get("scenes_panoptic_train")
    metadata = MetadataCatalog.get("scenes_panoptic_train")
    assert len(records) == 2 and metadata.json_file.endswith("instances_train.json")
    assert metadata.stuff_classes == ["things", "sky", "grass", "water", "sand"]
    assert metadata.thing_classes == ["disc", "square", "triangle", "star", "ring"]
    assert all(s["category_id"] >= 1 for r in records for s in r["segments_info"] if not s["isthing"])


def test_coco_has_the_official_classes(registered):
    metadata = MetadataCatalog.get("coco_2017_val_panoptic_segments")
    assert len(metadata.thing_classes) == 80 and len(metadata.stuff_classes) == 54
    assert metadata.stuff_dataset_id_to_contiguous_id[92] == 1
    assert metadata.stuff_dataset_id_to_contiguous_id[200] == 53
    assert metadata.thing_dataset_id_to_contiguous_id[90] == 79
    separated = MetadataCatalog.get("coco_2017_val_panoptic_separated")
    assert list(separated.stuff_classes) == metadata.stuff_classes
    assert separated.stuff_dataset_id_to_contiguous_id == metadata.stuff_dataset_id_to_contiguous_id
    assert separated.thing_dataset_id_to_contiguous_id == metadata.thing_dataset_id_to_contiguous_id
    standard = MetadataCatalog.get("coco_2017_val_panoptic")
    assert standard.stuff_dataset_id_to_contiguous_id[92] == 80 and len(standard.thing_classes) == 133


def test_golden_class_names(registered, golden):
    sample = golden("panoptic").folder.parents[1] / "data" / "coco_panoptic_sample"
    if not sample.is_dir():
        pytest.skip("the two COCO images are not next to the repository")
    categories = json.loads((sample / "panoptic_coco_categories.json").read_text())
    names = {c["id"]: c["name"].replace("-other", "").replace("-merged", "") for c in categories}
    metadata = MetadataCatalog.get("coco_2017_train_panoptic_segments")
    for kind in ("thing", "stuff"):
        numbering = metadata.get(f"{kind}_dataset_id_to_contiguous_id")
        classes = metadata.get(f"{kind}_classes")
        own = {number: classes[index] for number, index in numbering.items() if number}
        assert own == {c["id"]: names[c["id"]] for c in categories if c["isthing"] == (kind == "thing")}


def test_missing_files_come_with_advice(registered):
    for name, advice in (
        ("scenes_panoptic_val", "solo-d2 data scenes"),
        ("coco_2017_val_panoptic_segments", "panoptic annotations"),
        ("cityscapes_panoptic_val", "createPanopticImgs.py"),
    ):
        with pytest.raises(InputError, match=f"does not exist; .*{advice}"):
            DatasetCatalog.get(name)


def test_cityscapes_images_are_found_by_their_id(registered):
    fine = registered / "cityscapes" / "gtFine"
    (registered / "cityscapes" / "leftImg8bit" / "val").mkdir(parents=True)
    ids = np.full((4, 6), 26001)
    write_bytes(fine / "cityscapes_panoptic_val" / "ulm_000001_000019_gtFine_panoptic.png", encode_ids(ids))
    image = {"id": "ulm_000001_000019", "file_name": "ulm_000001_000019_gtFine_leftImg8bit.png"}
    segment = {"id": 26001, "category_id": 26, "area": 24, "iscrowd": 0, "bbox": [0, 0, 6, 4]}
    annotation = {"image_id": image["id"], "file_name": "ulm_000001_000019_gtFine_panoptic.png"}
    content = {
        "images": [{**image, "height": 4, "width": 6}],
        "annotations": [{**annotation, "segments_info": [segment]}],
        "categories": [],
    }
    (fine / "cityscapes_panoptic_val.json").write_text(json.dumps(content))
    (record,) = DatasetCatalog.get("cityscapes_panoptic_val")
    assert record["file_name"].endswith("leftImg8bit/val/ulm/ulm_000001_000019_leftImg8bit.png")
    assert record["segments_info"][0]["category_id"] == 2
    metadata = MetadataCatalog.get("cityscapes_panoptic_val")
    assert len(metadata.thing_classes) == 8 and len(metadata.stuff_classes) == 12
    assert cityscapes_image_path({"id": "a_b"}) == "a/a_b_leftImg8bit.png"
