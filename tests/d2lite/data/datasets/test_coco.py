import json

import numpy as np
import pycocotools.mask as mask_util
import pytest

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json, register_coco_instances
from detectron2.structures import BoxMode

MASK = np.zeros((6, 8), dtype=np.uint8)
MASK[2:4, 1:6] = 1
RLE = mask_util.encode(np.asfortranarray(MASK))
UNCOMPRESSED = {"size": [6, 8], "counts": [8, 2, 4, 2, 4, 2, 4, 2, 4, 2, 14]}
POLYGON = [1.0, 2.0, 6.0, 2.0, 6.0, 4.0, 1.0, 4.0]


def annotation(id, segmentation, image_id=5, category_id=9, **more):
    return {
        "id": id,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": [1, 2, 5, 2],
        "area": 10,
        "iscrowd": 0,
        "segmentation": segmentation,
        **more,
    }


def coco(annotations):
    return {
        "images": [
            {"id": 7, "file_name": "b.png", "height": 6, "width": 8},
            {"id": 5, "file_name": "a.png", "height": 6, "width": 8},
        ],
        "categories": [{"id": 9, "name": "dog"}, {"id": 4, "name": "cat"}],
        "annotations": annotations,
    }


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "annotations.json"
        path.write_text(json.dumps(content))
        return str(path)

    return write


@pytest.fixture
def registered():
    names = []
    yield names.append
    for name in names:
        if name in DatasetCatalog.list():
            DatasetCatalog.remove(name)
        if name in MetadataCatalog.list():
            MetadataCatalog.remove(name)


def test_records(write, registered):
    registered("coco_records")
    compressed = {"size": RLE["size"], "counts": RLE["counts"].decode()}
    path = write(
        coco(
            [
                annotation(1, [POLYGON]),
                annotation(2, compressed, category_id=4),
                annotation(3, UNCOMPRESSED, iscrowd=1),
            ]
        )
    )
    first, second = load_coco_json(path, "images", "coco_records")
    assert (first["file_name"], first["height"], first["width"], first["image_id"]) == (
        "images/a.png",
        6,
        8,
        5,
    )
    assert second["image_id"] == 7 and second["annotations"] == []
    assert [ann["category_id"] for ann in first["annotations"]] == [1, 0, 1]
    assert [ann["iscrowd"] for ann in first["annotations"]] == [0, 0, 1]
    assert all(ann["bbox_mode"] == BoxMode.XYWH_ABS for ann in first["annotations"])
    assert first["annotations"][0]["segmentation"] == [POLYGON]
    for ann in first["annotations"][1:]:
        assert np.array_equal(mask_util.decode(ann["segmentation"]), MASK)
    metadata = MetadataCatalog.get("coco_records")
    assert metadata.thing_classes == ["cat", "dog"]
    assert metadata.thing_dataset_id_to_contiguous_id == {4: 0, 9: 1}


def test_without_a_name_ids_stay(write):
    records = load_coco_json(write(coco([annotation(1, [POLYGON])])), "")
    assert records[0]["annotations"][0]["category_id"] == 9


def test_extra_keys(write):
    path = write(coco([annotation(1, [POLYGON], depth=3)]))
    assert "depth" not in load_coco_json(path, "")[0]["annotations"][0]
    assert load_coco_json(path, "", extra_annotation_keys=["depth"])[0]["annotations"][0]["depth"] == 3


def test_invalid_polygons_are_dropped(write):
    path = write(coco([annotation(1, [[1, 1, 2, 2]]), annotation(2, [[1, 1, 2, 2], POLYGON])]))
    (ann,) = load_coco_json(path, "")[0]["annotations"]
    assert ann["segmentation"] == [POLYGON]


def test_broken_annotations(write, registered):
    registered("coco_broken")
    with pytest.raises(ValueError, match="bbox"):
        load_coco_json(write(coco([annotation(1, [POLYGON], bbox=[])])), "")
    with pytest.raises(KeyError, match="category_id=5"):
        load_coco_json(write(coco([annotation(1, [POLYGON], category_id=5)])), "", "coco_broken")
    with pytest.raises(AssertionError, match="unique"):
        load_coco_json(write(coco([annotation(1, [POLYGON]), annotation(1, [POLYGON])])), "")


def test_registration_opens_nothing(registered):
    registered("coco_registered")
    register_coco_instances("coco_registered", {"extra": 1}, "nowhere.json", "images")
    metadata = MetadataCatalog.get("coco_registered")
    assert metadata.evaluator_type == "coco" and metadata.extra == 1
    assert metadata.json_file == "nowhere.json" and metadata.image_root == "images"
    with pytest.raises(FileNotFoundError):
        DatasetCatalog.get("coco_registered")
