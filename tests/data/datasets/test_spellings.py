"""Files as annotation tools write them: odd ids, names and masks are read, and the change is reported."""

import copy
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from detectron2.data import DatasetCatalog, MetadataCatalog
from solo_d2.data.datasets import register_coco_format
from solo_d2.data.datasets.coco_cleaning import clean_coco
from solo_d2.data.datasets.spellings import Ids
from solo_d2.data.image_paths import list_images
from solo_d2.utils.errors import InputError

NAME = "spellings_of_a_test"
POLYGON = [2, 3, 12, 3, 12, 9, 2, 9]
SIZE = (20, 30)


@pytest.fixture
def content(tmp_path):
    """Two pictures, one in a subfolder, each with one object; classes 7 and 9."""
    images, annotations = [], []
    for number, name in ((1, "a.png"), (2, "sub/b.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / name)
        images.append({"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
        record = {"id": number, "image_id": number, "category_id": 5 + 2 * number, "segmentation": [POLYGON]}
        annotations.append({**record, "area": 60.0, "bbox": [2.0, 3.0, 10.0, 6.0], "iscrowd": 0})
    categories = [{"id": 7, "name": "early"}, {"id": 9, "name": "late"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def each(section, **changes):
    """Returns a function that changes keys of all records of a section."""

    def change(content):
        for record in content[section]:
            record |= {key: function(record[key]) for key, function in changes.items()}

    return change


def all_of(*changes):
    return lambda content: [change(content) for change in changes] and None


def text_of_bytes(polygons):
    packed = coco_mask.merge(coco_mask.frPyObjects(polygons, *SIZE))
    return {"size": list(SIZE), "counts": str(packed["counts"])}


SPELLINGS = {
    "backslashes": each("images", file_name=lambda name: name.replace("/", "\\")),
    "float ids": all_of(
        each("images", id=float),
        each("categories", id=float),
        each("annotations", image_id=float, category_id=float),
    ),
    "text category ids": all_of(each("categories", id=str), each("annotations", category_id=str)),
    "text references": each("annotations", image_id=str, category_id=str),
    "padded references": each("annotations", image_id=lambda number: f"{number:06d}"),
    "point pairs": each("annotations", segmentation=lambda parts: [np.reshape(parts[0], (-1, 2)).tolist()]),
    "bare pairs": each("annotations", segmentation=lambda parts: np.reshape(parts[0], (-1, 2)).tolist()),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings_of_tools_are_read(content, tmp_path, name):
    changed = copy.deepcopy(content)
    SPELLINGS[name](changed)
    assert changed != content or name == "float ids"
    given = copy.deepcopy(changed)
    cleaned, findings = clean_coco(changed, "file.json", tmp_path)
    kept = [one.pop("original_id") for one in cleaned["categories"] if "original_id" in one]
    assert kept == (["7", "9"] if name == "text category ids" else [])
    assert json.dumps(cleaned) == json.dumps(content) and changed == given
    assert not findings.skipped and len(list(findings.fixed)) == 1


def test_counts_written_as_text_of_bytes_are_read(content, tmp_path):
    expected = copy.deepcopy(content)
    for one, changed in zip(expected["annotations"], content["annotations"], strict=True):
        packed = coco_mask.merge(coco_mask.frPyObjects(one["segmentation"], *SIZE))
        one["segmentation"] = {"size": list(SIZE), "counts": packed["counts"].decode()}
        changed["segmentation"] = text_of_bytes(changed["segmentation"])
    cleaned, findings = clean_coco(content, "file.json", tmp_path)
    assert cleaned == expected and list(dict(findings.fixed)) == ["RLE counts written as b'...' read"]


def test_counts_with_backslashes_are_read(content, tmp_path):
    """``str(bytes)`` doubles a backslash, which is one of RLE's letters."""
    for left in range(25):
        mask = np.zeros(SIZE, np.uint8, order="F")
        mask[left % 20 :, left : left + 5] = 1
        packed = coco_mask.encode(mask)
        if b"\\" in packed["counts"]:
            break
    else:
        pytest.fail("no mask has a backslash")
    content["annotations"][0]["segmentation"] = {"size": list(SIZE), "counts": str(packed["counts"])}
    cleaned, _ = clean_coco(content, "file.json", tmp_path)
    assert cleaned["annotations"][0]["segmentation"]["counts"] == packed["counts"].decode()


def test_text_image_ids_are_found_by_their_number(content, tmp_path):
    for image in content["images"]:
        image["id"] = f"{image['id']:06d}"
    cleaned, _ = clean_coco(content, "file.json", tmp_path)
    assert [one["image_id"] for one in cleaned["annotations"]] == ["000001", "000002"]


def test_a_single_odd_category_id_is_no_class(content, tmp_path):
    content["categories"].insert(0, {"id": 0.0, "name": "background"})
    cleaned, findings = clean_coco(content, "file.json", tmp_path)
    assert [one["id"] for one in cleaned["categories"]] == [7, 9]
    assert list(dict(findings.skipped)) == ["category without a whole-number id"]


def test_ids():
    ids = Ids([1, "2", "03", 3, "x"])
    assert [ids.find(value) for value in (1, "1", 1.0, 2, "2", "02", "x")] == [1, 1, 1, "2", "2", "2", "x"]
    assert [ids.find(value) for value in (3, "03", "3", 3.0, 4, None, [1], True)] == [3, "03", *[None] * 6]


def test_lists_of_images_may_have_backslashes(content, tmp_path):
    (tmp_path / "list.txt").write_text("a.png\nsub\\b.png\n")
    content["images"][1]["file_name"] = "sub\\b.png"
    (tmp_path / "list.json").write_text(json.dumps(content))
    (tmp_path / "c\\d.png").write_bytes((tmp_path / "a.png").read_bytes())
    for name in ("list.txt", "list.json"):
        assert list_images(tmp_path / name).names == ("a.png", "sub/b.png")
    (tmp_path / "list.txt").write_text("c\\d.png")
    assert list_images(tmp_path / "list.txt").names == ("c\\d.png",)


def test_a_file_without_annotations_is_only_refused_for_training(content, tmp_path):
    del content["annotations"]
    content["images"][0]["id"] = "first"
    json_file = tmp_path / "bare.json"
    json_file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"bare\.json has no annotation: there is nothing to learn"):
        register_coco_format(NAME, json_file, tmp_path, tmp_path, for_training=True)
    metadata = register_coco_format(NAME, json_file, tmp_path, tmp_path)
    try:
        assert [record["annotations"] for record in DatasetCatalog.get(NAME)] == [[], []]
        with open(metadata.json_file) as file:
            assert "annotations" not in json.load(file)
    finally:
        DatasetCatalog.remove(NAME)
        MetadataCatalog.remove(NAME)
