import logging

import pytest

from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from detectron2.structures import BoxMode
from solo_d2.data.datasets import register_panoptic_format
from solo_d2.data.datasets.panoptic_format import panoptic_classes, read_panoptic_classes
from solo_d2.utils.errors import InputError

NAME = "own_panoptic"


@pytest.fixture
def register(panoptic_set):
    yield lambda: register_panoptic_format(
        NAME, panoptic_set.json, panoptic_set.panoptic, panoptic_set.images
    )
    for catalog in (DatasetCatalog, MetadataCatalog):
        if NAME in catalog:
            catalog.remove(NAME)


def test_classes(panoptic_set):
    classes = panoptic_classes(panoptic_set.content["categories"][::-1])
    assert classes == {
        "thing_classes": ["cat", "dog"],
        "stuff_classes": ["things", "sky", "sea"],
        "thing_dataset_id_to_contiguous_id": {3: 0, 5: 1},
        "stuff_dataset_id_to_contiguous_id": {0: 0, 9: 1, 11: 2},
        "thing_colors": [[200, 0, 0], [0, 200, 0]],
        "stuff_colors": [[82, 18, 128], [0, 0, 200], [0, 90, 90]],
    }


def test_a_category_may_have_id_0_and_no_color():
    classes = panoptic_classes(
        [{"id": 0, "name": "sky", "isthing": 0}, {"id": 4, "name": "cat", "isthing": 1}]
    )
    assert classes["stuff_dataset_id_to_contiguous_id"] == {5: 0, 0: 1}
    assert "stuff_colors" not in classes


def test_classes_are_in_the_order_of_training():
    def category(number, name, isthing):
        return {"id": number, "name": name, "isthing": isthing}

    trained = Metadata(thing_classes=["dog", "cat"], stuff_classes=["things", "sea", "sky"])
    own = [category(1, "sky", 0), category(2, "cat", 1), category(3, "sea", 0), category(4, "dog", 1)]
    classes = panoptic_classes(own, trained)
    assert classes["thing_classes"] == ["dog", "cat"] and classes["stuff_classes"] == ["things", "sea", "sky"]
    assert classes["thing_dataset_id_to_contiguous_id"] == {4: 0, 2: 1}
    assert classes["stuff_dataset_id_to_contiguous_id"] == {0: 0, 3: 1, 1: 2}
    for other in ("mouse", "cat"):  # a new name, and a repeated one
        own[3]["name"] = other
        with pytest.raises(
            InputError, match="a.json and the model have different classes: the model has 'dog'"
        ):
            panoptic_classes(own, trained, "a.json")


def test_a_set_may_have_fewer_classes_or_more(panoptic_set, register, tmp_path, caplog):
    trained = Metadata(thing_classes=["dog", "bird", "cat"], stuff_classes=["things", "sea", "sand", "sky"])
    classes = panoptic_classes(panoptic_set.content["categories"], trained)
    assert classes["thing_dataset_id_to_contiguous_id"] == {5: 0, 12: 1, 3: 2}
    assert classes["stuff_dataset_id_to_contiguous_id"] == {0: 0, 11: 1, 13: 2, 9: 3}
    assert classes["absent_ids"] == [12, 13]
    fewer = Metadata(thing_classes=["dog"], stuff_classes=["things", "sea", "sky"])
    metadata = register_panoptic_format(
        NAME, panoptic_set.json, panoptic_set.panoptic, panoptic_set.images, fewer, tmp_path / "cache"
    )
    assert metadata.panoptic_json == str(tmp_path / "cache" / f"{NAME}.json")
    assert "are left out: 'cat'" in caplog.text
    first, second = DatasetCatalog.get(NAME)
    assert [s["id"] for s in first["segments_info"]] == [70000, 400]
    assert [a["category_id"] for a in first["annotations"]] == [0]
    assert second["segments_info"][0]["category_id"] == 1


def test_ids_written_as_text_are_those_of_the_file(register, panoptic_set):
    for category in panoptic_set.content["categories"]:
        category["id"] = f"{category['id']:02d}"
    for annotation in panoptic_set.content["annotations"]:
        for segment in annotation["segments_info"]:
            segment["category_id"] = f"{segment['category_id']:02d}"
    panoptic_set.write(panoptic_set.content)
    metadata = register()
    assert metadata.thing_dataset_id_to_contiguous_id == {3: 0, 5: 1}
    assert metadata.original_ids == {"category_id": {3: "03", 5: "05", 9: "09", 11: "11"}}
    classes = read_panoptic_classes(panoptic_set.json)
    assert classes["thing_dataset_id_to_contiguous_id"] == {"03": 0, "05": 1}
    assert classes["stuff_dataset_id_to_contiguous_id"] == {0: 0, "09": 1, "11": 2}
    assert classes["thing_classes"] == ["cat", "dog"]


def test_records(register, panoptic_set, caplog):
    metadata = register()
    assert metadata.evaluator_type == "coco_panoptic_seg" and metadata.get("json_file") is None
    assert metadata.panoptic_json == panoptic_set.json and metadata.ignore_label == 255
    with caplog.at_level(logging.INFO):
        first, second = DatasetCatalog.get(NAME)
    assert "Loaded 2 images" in caplog.text
    assert (first["image_id"], first["height"], first["width"]) == (1, 40, 48)
    assert first["file_name"].endswith("images/1.jpg")
    assert first["pan_seg_file_name"].endswith("png/1.png")
    kinds = [(s["id"], s["category_id"], s["isthing"], s["iscrowd"]) for s in first["segments_info"]]
    assert kinds == [(70000, 1, False, 0), (301, 0, True, 0), (302, 0, True, 0), (400, 1, True, 1)]
    boxes = [(a["bbox"], a["bbox_mode"], a["category_id"], a["iscrowd"]) for a in first["annotations"]]
    assert boxes[0] == ([4, 5, 16, 10], BoxMode.XYWH_ABS, 0, 0)
    assert [box[2:] for box in boxes] == [(0, 0), (0, 0), (1, 1)]
    assert second["annotations"] == [] and second["segments_info"][0]["category_id"] == 2


def test_a_name_can_be_registered_again(register, panoptic_set):
    register()
    panoptic_set.content["categories"][0]["name"] = "lion"
    panoptic_set.write(panoptic_set.content)
    assert register().thing_classes == ["lion", "dog"]


def test_too_many_broken_records_are_refused(register, panoptic_set):
    panoptic_set.content["annotations"][1]["file_name"] = "no.png"
    panoptic_set.content["annotations"][0]["segments_info"][0]["category_id"] = 77
    panoptic_set.write(panoptic_set.content)
    line = r"panoptic.json: 2 of 5 segments cannot be used \(1: segment of a category .*max_skipped 0.4$"
    with pytest.raises(InputError, match=line):
        register()


def test_a_broken_record_is_skipped_with_what_depends_on_it(panoptic_set, tmp_path, caplog):
    panoptic_set.content["annotations"][1]["file_name"] = "no.png"
    panoptic_set.content["images"][0]["id"] = panoptic_set.content["annotations"][0]["image_id"] = "a"
    panoptic_set.write(panoptic_set.content)
    paths = (panoptic_set.json, panoptic_set.panoptic, panoptic_set.images)
    metadata = register_panoptic_format(NAME, *paths, cache_dir=tmp_path / "cache")
    assert metadata.panoptic_json == str(tmp_path / "cache" / f"{NAME}.json")
    assert [(one["image_id"], len(one["segments_info"])) for one in DatasetCatalog.get(NAME)] == [("a", 4)]
    assert "skipped 1: panoptic PNG that does not exist (no.png)" in caplog.text
    assert "skipped 1: image without a usable annotation (2.jpg)" in caplog.text


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("images", "panoptic.json lists no image"),
        ("annotations", r"none of its 2 images can be used.*image without a usable annotation: 1.jpg"),
        ("categories", "panoptic.json has no usable segment; solo-d2 data check-panoptic lists why"),
    ],
)
def test_nothing_usable_is_one_line(register, panoptic_set, key, line):
    panoptic_set.write({**panoptic_set.content, key: []})
    with pytest.raises(InputError, match=line):
        register()


def test_missing_folders_are_named(panoptic_set):
    with pytest.raises(InputError, match="PNG folder gone of .* does not exist"):
        register_panoptic_format(NAME, panoptic_set.json, "gone", panoptic_set.images)
    with pytest.raises(InputError, match="image folder gone of .* does not exist"):
        register_panoptic_format(NAME, panoptic_set.json, panoptic_set.panoptic, "gone")


@pytest.mark.parametrize(
    ("place", "value", "line"),
    [("image_id", 9, "1.png belongs to no image"), ("segments_info", [{"id": 1}], "no usable 'category_id'")],
)
def test_loading_explains_what_changed_after_registration(register, panoptic_set, place, value, line):
    register()
    panoptic_set.content["annotations"][0][place] = value
    panoptic_set.write(panoptic_set.content)
    with pytest.raises(InputError, match=line):
        DatasetCatalog.get(NAME)
