import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json
from solo_d2.data.datasets import coco_format, register_coco_format
from solo_d2.data.datasets.coco_format import read_annotations, read_classes, read_coco
from solo_d2.utils.errors import InputError

NAME = "own_data_of_a_test"
POLYGON = [[2, 3, 12, 3, 12, 9, 2, 9]]


@pytest.fixture(autouse=True)
def forget():
    yield
    for catalog in (DatasetCatalog, MetadataCatalog):
        if NAME in catalog.list():
            catalog.remove(NAME)


@pytest.fixture
def files(tmp_path):
    """Three images, the last one empty; polygon, compressed and uncompressed RLE; a crowd."""
    (tmp_path / "images").mkdir()
    images = []
    for number in (1, 2, 3):
        Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "images" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "height": 20, "width": 30})
    mask = np.zeros((20, 30), np.uint8)
    mask[4:10, 5:9] = 1
    packed = coco_mask.encode(np.asfortranarray(mask))
    rle = {"size": [20, 30], "counts": packed["counts"].decode()}
    crowd = {"size": [20, 30], "counts": [100, 10, 10, 10, 470]}
    segmentations = [
        (1, POLYGON, [2, 3, 10, 6], 0),
        (1, rle, [5, 4, 4, 6], 0),
        (2, crowd, [5, 0, 2, 20], 1),
    ]
    annotations = [
        {"id": number, "image_id": image, "category_id": 4, "segmentation": mask, "bbox": box}
        for number, (image, mask, box, _) in enumerate(segmentations, start=1)
    ]
    for record, (*_, is_crowd) in zip(annotations, segmentations, strict=True):
        record |= {"area": 24, "iscrowd": is_crowd}
    categories = [{"id": 9, "name": "b"}, {"id": 4, "name": "a"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    json_file = tmp_path / "annotations.json"
    json_file.write_text(json.dumps(content))
    return json_file, tmp_path / "images", content


def test_sound_file_is_used_as_it_is(files, tmp_path):
    json_file, images, _ = files
    metadata = register_coco_format(NAME, json_file, images, tmp_path / "cache")
    assert metadata.thing_classes == ["a", "b"] and metadata.evaluator_type == "coco"
    assert metadata.thing_dataset_id_to_contiguous_id == {4: 0, 9: 1}
    assert metadata.json_file == str(json_file) and not (tmp_path / "cache").exists()
    records = DatasetCatalog.get(NAME)
    assert [len(record["annotations"]) for record in records] == [2, 1, 0]
    assert [item["iscrowd"] for record in records for item in record["annotations"]] == [0, 0, 1]
    assert all(item["category_id"] == 0 for record in records for item in record["annotations"])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_evaluators_get_a_copy_that_they_can_read(files, tmp_path, encoding):
    json_file, images, content = files
    json_file.write_text(json.dumps(content), encoding=encoding)
    metadata = register_coco_format(NAME, json_file, images, tmp_path / "cache")
    copied = json.loads(Path(metadata.json_file).read_text("utf-8"))
    assert copied == {**content, "categories": content["categories"][::-1]}


def test_cleaned_copy_is_what_is_loaded_and_evaluated(files, tmp_path, caplog):
    json_file, images, content = files
    content["annotations"][0]["segmentation"] = [[1, 2, 3]]
    del content["annotations"][1]["area"]
    json_file.write_text(json.dumps(content))
    with caplog.at_level(logging.WARNING):
        metadata = register_coco_format(NAME, json_file, images, tmp_path / "cache")
    assert metadata.json_file == str(tmp_path / "cache" / f"{NAME}.json")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [f"{NAME}.json"]
    assert [len(record["annotations"]) for record in DatasetCatalog.get(NAME)] == [1, 1, 0]
    cleaned = json.loads((tmp_path / "cache" / f"{NAME}.json").read_text())
    assert cleaned["annotations"][0]["area"] == 24
    assert sum("skipped 1" in message for message in caplog.messages) == 1
    assert sum("fixed 1" in message for message in caplog.messages) == 1


def test_the_file_is_read_once_and_its_records_are_detectron2s(files, tmp_path, monkeypatch):
    json_file, images, content = files
    polygon = content["annotations"][0]["segmentation"]
    content["annotations"][1]["segmentation"] = {"size": [20, 30], "counts": [60, 400, 140]}
    content["annotations"][1] |= {"area": 400, "bbox": [3, 0, 20, 20]}
    content["images"].reverse()
    json_file.write_text(json.dumps(content))
    expected = load_coco_json(str(json_file), str(images), "plain_detectron2")
    read = []
    reader = coco_format.read_json
    monkeypatch.setattr(coco_format, "read_json", lambda *given: read.append(given) or reader(*given))
    register_coco_format(NAME, json_file, images, tmp_path / "cache")
    assert DatasetCatalog.get(NAME) == expected and len(read) == 1
    assert expected[0]["annotations"][0]["segmentation"] == polygon
    assert DatasetCatalog.get(NAME) == expected and len(read) == 2  # nothing is kept for a second call


def test_registering_again_replaces(files, tmp_path):
    json_file, images, content = files
    register_coco_format(NAME, json_file, images, tmp_path)
    content["categories"][0]["name"] = "c"
    json_file.write_text(json.dumps(content))
    assert register_coco_format(NAME, json_file, images, tmp_path).thing_classes == ["a", "c"]


def test_wrong_paths_and_broken_json_are_one_line(files, tmp_path):
    json_file, images, _ = files
    broken = tmp_path / "broken.json"
    broken.write_text('{"images": [')
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe\x00\x81")
    for path, folder, line in [
        (tmp_path / "none.json", images, "none.json does not exist"),
        (json_file, tmp_path / "nowhere", "nowhere.*does not exist"),
        (broken, images, "cannot be read as JSON"),
        (binary, images, "cannot be read as JSON"),
        (tmp_path, images, "cannot be read: Is a directory"),
    ]:
        with pytest.raises(InputError, match=line) as info:
            register_coco_format(NAME, path, folder, tmp_path)
        assert "\n" not in str(info.value) and NAME not in DatasetCatalog.list()


def test_read_coco_returns_content_and_findings(files):
    cleaned, findings = read_coco(*files[:2])
    assert len(cleaned["annotations"]) == 3 and not findings


def test_embeddings_and_withheld_masks_are_loaded(files, tmp_path):
    json_file, images, content = files
    content["annotations"][0]["embedding"] = [0.5, 1]
    content["annotations"][1] |= {"mask_withheld": 1, "score": 0.7}
    json_file.write_text(json.dumps(content))
    register_coco_format(NAME, json_file, images, tmp_path / "cache")
    first, second = DatasetCatalog.get(NAME)[0]["annotations"]
    assert first["embedding"].dtype == np.float32 and first["embedding"].tolist() == [0.5, 1]
    assert second["mask_withheld"] == 1 and "embedding" not in second and "score" not in second


def test_read_annotations_needs_no_images(files, tmp_path):
    assert read_annotations(files[0]) == files[2]
    (tmp_path / "list.json").write_text("[]")
    for name, line in (("list.json", "is not a COCO"), ("gone.json", "does not exist")):
        with pytest.raises(InputError, match=line):
            read_annotations(tmp_path / name)


@pytest.mark.parametrize(
    ("change", "names", "ids"),
    [
        (lambda c: c.append({"id": 4, "name": "again"}), ["a", "b"], [4, 9]),
        (lambda c: c.insert(0, {"id": 0.0, "name": "background"}), ["a", "b"], [4, 9]),
        (lambda c: c.insert(0, {"id": None, "name": "background"}), ["a", "b"], [4, 9]),
        (lambda c: [one.pop("name") for one in c], ["4", "9"], [4, 9]),
        (lambda c: c.append({"id": 12, "name": "a"}), ["a", "b", "a (12)"], [4, 9, 12]),
        (lambda c: c.extend(["x", {"name": "no id"}]), ["a", "b"], [4, 9]),
    ],
)
def test_class_names_are_those_of_training_for_all_readers(files, tmp_path, change, names, ids):
    json_file, images, content = files
    change(content["categories"])
    json_file.write_text(json.dumps(content))
    metadata = register_coco_format(NAME, json_file, images, tmp_path / "cache")
    expected = {
        "thing_classes": names,
        "thing_dataset_id_to_contiguous_id": {number: place for place, number in enumerate(ids)},
    }
    assert read_classes(json_file) == expected
    assert {key: metadata.get(key) for key in expected} == expected


@pytest.mark.parametrize("ids", [["9", "4"], ["b", "a"], [2**64, -1]])
def test_ids_of_training_are_those_of_the_file(files, tmp_path, ids):
    json_file, images, content = files
    for category, number in zip(content["categories"], ids, strict=True):
        category |= {"id": number, "original_id": 5}  # such as a cleaned copy's
    for annotation in content["annotations"]:
        annotation["category_id"] = ids[1]
    json_file.write_text(json.dumps(content))
    metadata = register_coco_format(NAME, json_file, images, tmp_path / "cache")
    assert metadata.thing_classes == ["a", "b"]
    numbers = metadata.thing_dataset_id_to_contiguous_id
    assert [metadata.original_ids["category_id"][number] for number in numbers] == ids[::-1]
    assert read_classes(json_file)["thing_dataset_id_to_contiguous_id"] == {ids[1]: 0, ids[0]: 1}
    assert {one["category_id"] for record in DatasetCatalog.get(NAME) for one in record["annotations"]} == {0}


@pytest.mark.parametrize("content", [[], {}, {"categories": 3}, {"categories": [{"name": "a"}]}])
def test_a_file_without_classes_is_one_line(tmp_path, content):
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"a\.json has no usable category"):
        read_classes(tmp_path / "a.json")


def test_another_order_of_classes_is_loaded_as_that_of_training(files, tmp_path):
    json_file, images, _ = files
    metadata = register_coco_format(NAME, json_file, images, tmp_path / "cache", classes=["b", "c", "a"])
    assert metadata.thing_classes == ["b", "c", "a"]
    assert metadata.original_ids == {"category_id": {1: 9, 2: None, 3: 4}}
    assert metadata.json_file == str(tmp_path / "cache" / f"{NAME}.json")
    records = DatasetCatalog.get(NAME)
    assert {item["category_id"] for record in records for item in record["annotations"]} == {2}
    cleaned = json.loads((tmp_path / "cache" / f"{NAME}.json").read_text())
    assert {annotation["category_id"] for annotation in cleaned["annotations"]} == {3}
