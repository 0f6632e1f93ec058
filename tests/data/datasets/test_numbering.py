import copy
import logging

import pytest

from solo_d2.data.datasets.numbering import renumber

CLASSES = ["red", "green", "blue"]


def _content(image_ids, names):
    """One annotation per image; the category ids are 10, 20, ..."""
    annotations = [
        {"id": place + 1, "image_id": image, "category_id": 10 * (place % len(names) + 1)}
        for place, image in enumerate(image_ids)
    ]
    categories = [{"id": 10 * place, "name": name} for place, name in enumerate(names, start=1)]
    images = [{"id": image, "file_name": f"{place}.png"} for place, image in enumerate(image_ids)]
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.mark.parametrize("ids", [[3, 0], [1, 2**53]])
def test_plain_ids_and_the_same_classes_stay(ids, caplog):
    content = _content(ids, CLASSES)
    assert renumber(content, "a.json", CLASSES) == (content, {})
    assert renumber(content, "a.json") == (content, {})
    assert not caplog.records


@pytest.mark.parametrize(
    "ids",
    [["b", "a"], ["0002", "0001"], [-1, -2], [2**53 + 2, 2**53 + 1], [2**63, 2**200], [1, "1"], [True, 0]],
)
def test_other_image_ids_are_renumbered_and_come_back(ids, caplog):
    content = _content(ids, CLASSES)
    before = copy.deepcopy(content)
    with caplog.at_level(logging.WARNING):
        changed, originals = renumber(content, "a.json")
    assert content == before and "a.json: image ids" in caplog.text
    assert [image["id"] for image in changed["images"]] == [1, 2]
    assert [image["file_name"] for image in changed["images"]] == ["0.png", "1.png"]
    assert [image["original_id"] for image in changed["images"]] == ids
    assert [one["image_id"] for one in changed["annotations"]] == [1, 2]
    assert originals == {"image_id": dict(enumerate(ids, start=1))}


@pytest.mark.parametrize("names", [["green", "red", "blue"], ["blue", "red"], ["green"]])
def test_classes_are_matched_by_name(names, caplog):
    content = _content([1, 2, 3], names)
    with caplog.at_level(logging.WARNING):
        changed, originals = renumber(content, "a.json", CLASSES)
    assert "matched by name" in caplog.text
    assert [(one["id"], one["name"]) for one in changed["categories"]] == [
        (1, "red"),
        (2, "green"),
        (3, "blue"),
    ]
    for before, after in zip(content["annotations"], changed["annotations"], strict=True):
        assert names[before["category_id"] // 10 - 1] == CLASSES[after["category_id"] - 1]
        assert originals["category_id"][after["category_id"]] == before["category_id"]
    assert len(set(originals["category_id"].values())) == 3  # absent classes get ids that no other has


@pytest.mark.parametrize("names", [["red", "green", "other"], ["red", "green", "blue", "more"], ["Red"]])
def test_other_names_stay_for_the_check_of_classes(names):
    content = _content([1], names)
    assert renumber(content, "a.json", CLASSES) == (content, {})
