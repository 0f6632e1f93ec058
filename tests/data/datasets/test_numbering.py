import copy
import logging

import pytest

from solo_d2.data.datasets.numbering import renumber
from solo_d2.utils.errors import InputError

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
    lacking = [name for name in CLASSES if name not in names]
    assert list(originals["category_id"].values()).count(None) == len(lacking)
    assert not lacking or f"{len(names)} of the model's 3 classes" in caplog.text
    assert all(f"without {lacking[0]!r}" in caplog.text for _ in lacking)


def test_classes_that_the_model_does_not_know_do_not_count(caplog):
    content = _content([1, 2, 3, 4], ["blue", "more", "red", "green"])
    with caplog.at_level(logging.WARNING):
        changed, originals = renumber(content, "a.json", CLASSES)
    assert "does not know are left out: 'more'" in caplog.text
    assert [one["category_id"] for one in changed["annotations"]] == [3, 1, 2]
    assert [one["image_id"] for one in changed["annotations"]] == [1, 3, 4] and len(changed["images"]) == 4
    assert originals == {"category_id": {1: 30, 2: 40, 3: 10}}


def test_a_name_that_two_classes_of_the_model_have_is_one_line():
    classes = ["red", "red (20)", "green"]
    assert renumber(_content([1], classes), "a.json", classes)[1] == {}
    assert renumber(_content([1], classes[::-1]), "a.json", classes)[1]["category_id"] == {
        1: 30,
        2: 20,
        3: 10,
    }
    with pytest.raises(InputError, match=r"the model has 'red \(20\)', which a.json lacks"):
        renumber(_content([1], ["red", "green"]), "a.json", classes)


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (
            ["red", "green", "other"],
            "the model has 'blue', which a.json lacks; a.json has 'other', which the",
        ),
        (["Red"], "has 'red', 'green', 'blue', which a.json lacks; a.json has 'Red'"),
        (["red", "red", "green"], "has 'blue'"),
        (["red", "green", "blue", "blue"], "the model has 3 classes and a.json 4, some of the same name"),
    ],
)
def test_other_or_repeated_names_are_one_line(names, line):
    with pytest.raises(InputError, match=line) as error:
        renumber(_content([1], names), "data/a.json", CLASSES)
    assert str(error.value).startswith("data/a.json and the model have different classes: ")


@pytest.mark.parametrize("ids", [["b", "a"], [-5, 3], [1, 2**63], [2, "2"]])
def test_other_category_ids_are_renumbered_and_come_back(ids):
    content = _content([1, 2], ["red", "green"])
    for category, number in zip(content["categories"], ids, strict=True):
        category["id"] = number
    for annotation, number in zip(content["annotations"], ids, strict=True):
        annotation["category_id"] = number
    changed, originals = renumber(content, "a.json")
    assert [category["id"] for category in changed["categories"]] == [1, 2]
    assert [one["category_id"] for one in changed["annotations"]] == [1, 2]
    assert originals == {"category_id": dict(enumerate(ids, start=1))}
