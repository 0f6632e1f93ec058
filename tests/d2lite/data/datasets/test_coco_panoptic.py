import json
import os

import numpy as np
import pytest
from PIL import Image

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_panoptic, register_coco_panoptic_separated

NAME = "d2lite_coco"
METADATA = {
    "thing_classes": ["cat"],
    "stuff_classes": ["things", "sky"],
    "thing_dataset_id_to_contiguous_id": {3: 0},
    "stuff_dataset_id_to_contiguous_id": {0: 0, 9: 1},
}


@pytest.fixture
def paths(tmp_path):
    """Two images; the second has no semantic map."""
    for folder in ("images", "panoptic", "stuff"):
        (tmp_path / folder).mkdir()
    panoptic, images, instances = [], [], []
    for number in (1, 2):
        Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(tmp_path / "images" / f"{number}.jpg")
        Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(tmp_path / "panoptic" / f"{number}.png")
        segments = [{"id": 7, "category_id": 3, "area": 4}, {"id": 8, "category_id": 9, "area": 16}]
        panoptic.append({"image_id": number, "file_name": f"{number}.png", "segments_info": segments})
        images.append({"id": number, "file_name": f"{number}.jpg", "height": 4, "width": 5})
        box = {"bbox": [0, 0, 2, 2], "segmentation": [[0, 0, 2, 0, 2, 2]], "area": 2, "iscrowd": 0}
        instances.append({"id": number, "image_id": number, "category_id": 3, **box})
        Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "stuff" / f"{number}.png")
    (tmp_path / "p.json").write_text(json.dumps({"annotations": panoptic}))
    content = {"images": images, "annotations": instances, "categories": [{"id": 3, "name": "cat"}]}
    (tmp_path / "i.json").write_text(json.dumps(content))
    yield {
        "image_root": str(tmp_path / "images"),
        "panoptic_root": str(tmp_path / "panoptic"),
        "panoptic_json": str(tmp_path / "p.json"),
        "instances_json": str(tmp_path / "i.json"),
    }
    for name in (NAME, f"{NAME}_separated", f"{NAME}_stuffonly"):
        if name in DatasetCatalog:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)


def test_standard(paths):
    register_coco_panoptic(NAME, METADATA, **paths)
    records = DatasetCatalog.get(NAME)
    assert [r["image_id"] for r in records] == [1, 2]
    assert records[1]["file_name"] == os.path.join(paths["image_root"], "2.jpg")
    assert records[1]["pan_seg_file_name"] == os.path.join(paths["panoptic_root"], "2.png")
    kinds = [(s["category_id"], s["isthing"], s["area"]) for s in records[0]["segments_info"]]
    assert kinds == [(0, True, 4), (1, False, 16)]
    metadata = MetadataCatalog.get(NAME)
    assert metadata.evaluator_type == "coco_panoptic_seg" and metadata.label_divisor == 1000
    assert metadata.json_file == paths["instances_json"] and metadata.ignore_label == 255


def test_separated(paths, tmp_path):
    register_coco_panoptic_separated(NAME, METADATA, sem_seg_root=str(tmp_path / "stuff"), **paths)
    first, second = DatasetCatalog.get(f"{NAME}_separated")
    assert first["sem_seg_file_name"] == os.path.join(str(tmp_path / "stuff"), "1.png")
    assert first["annotations"][0]["category_id"] == 0 and second["image_id"] == 2
    metadata = MetadataCatalog.get(f"{NAME}_separated")
    assert (
        metadata.sem_seg_root == str(tmp_path / "stuff") and metadata.panoptic_json == paths["panoptic_json"]
    )
    assert MetadataCatalog.get(f"{NAME}_stuffonly").evaluator_type == "sem_seg"
    os.remove(tmp_path / "stuff" / "2.png")
    (only,) = DatasetCatalog.get(f"{NAME}_stuffonly")
    assert only["file_name"] == os.path.join(paths["image_root"], "1.jpg")


def test_missing_pictures(paths):
    register_coco_panoptic(NAME, METADATA, **paths)
    os.remove(os.path.join(paths["panoptic_root"], "1.png"))
    with pytest.raises(AssertionError, match="1.png"):
        DatasetCatalog.get(NAME)
