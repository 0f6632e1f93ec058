import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json
from solo_d2.data.datasets.cityscapes import CITYSCAPES_IDS, convert_cityscapes, read_instances
from solo_d2.utils.errors import InputError

SIZE = (32, 64)


def label_image():
    """Road, two cars, a group of persons, a caravan and a license plate's unlabeled pixels."""
    ids = np.full(SIZE, 7, np.uint16)
    ids[4:10, 4:20] = 26000
    ids[12:20, 8:30] = 26013
    ids[0:3, 40:60] = 24
    ids[20:24, 40:44] = 29000
    ids[30:, :] = 0
    return ids


def write_cityscapes(root, split="val", names=("aachen_000000_000019", "bonn_000001_000019")):
    """A file tree as Cityscapes ships it."""
    for name in names:
        city = name.partition("_")[0]
        for folder, suffix, picture in (
            ("gtFine", "gtFine_instanceIds", label_image()),
            ("leftImg8bit", "leftImg8bit", np.full((*SIZE, 3), 80, np.uint8)),
        ):
            path = root / folder / split / city
            path.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path / f"{name}_{suffix}.png"), picture)
    return root


def test_instances_equal_a_loop_over_pixels():
    ids = label_image()
    found = read_instances(ids)
    assert [(a["category_id"], a["iscrowd"]) for a in found] == [(24, 1), (26, 0), (26, 0)]
    for entry, number in zip(found, (24, 26000, 26013), strict=True):
        mask = coco_mask.decode(entry["segmentation"]).astype(bool)
        assert np.array_equal(mask, ids == number)
        assert entry["area"] == mask.sum()
        ys, xs = np.nonzero(mask)
        width, height = xs.max() - xs.min() + 1, ys.max() - ys.min() + 1
        assert entry["bbox"] == [xs.min(), ys.min(), width, height]
    assert read_instances(np.zeros(SIZE, np.uint16)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_converts_a_tree_that_coco_readers_accept(tmp_path, workers):
    names = [f"aachen_000000_{i:06d}" for i in range(17 if workers == 2 else 2)]
    path = convert_cityscapes(write_cityscapes(tmp_path, "train", names), "train", workers)
    assert path == tmp_path / "annotations" / "instances_train.json"
    assert [p.name for p in path.parent.iterdir()] == [path.name], "nothing unfinished"
    content = json.loads(path.read_text())
    assert [c["id"] for c in content["categories"]] == list(CITYSCAPES_IDS)
    records = load_coco_json(str(path), str(tmp_path / "leftImg8bit" / "train"), "cityscapes_read")
    try:
        assert len(records) == len(names) and (records[0]["height"], records[0]["width"]) == SIZE
        assert [a["category_id"] for a in records[0]["annotations"]] == [0, 2, 2]
        assert cv2.imread(records[1]["file_name"]).shape == (*SIZE, 3)
    finally:
        MetadataCatalog.remove("cityscapes_read")
    assert "cityscapes_read" not in DatasetCatalog


def test_mistakes_are_one_line(tmp_path):
    with pytest.raises(InputError, match="gtFine_trainvaltest.zip"):
        convert_cityscapes(tmp_path, "val")
    write_cityscapes(tmp_path)
    label, color = (next(tmp_path.glob(f"{folder}/val/aachen/*.png")) for folder in ("gtFine", "leftImg8bit"))
    for content, reason in ((b"no picture", "it is no image"), (color.read_bytes(), "its pixels are RGB")):
        label.write_bytes(content)
        with pytest.raises(InputError, match=f"{reason}.*: unpack gtFine_trainvaltest.zip again"):
            convert_cityscapes(tmp_path, "val", workers=1)
    color.unlink()
    with pytest.raises(InputError, match=r"leftImg8bit\.png is missing"):
        convert_cityscapes(tmp_path, "val", workers=1)
    assert not (tmp_path / "annotations").exists()
