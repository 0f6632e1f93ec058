import copy

import pytest

from solo_d2.data.datasets.split import choose, split_by_images, split_by_masks
from solo_d2.utils.errors import InputError


@pytest.fixture
def content():
    images = [{"id": number, "file_name": f"{number}.png"} for number in range(1, 41)]
    annotations = [
        {
            "id": 3 * image + number,
            "image_id": image,
            "category_id": 1 + number,
            "iscrowd": int(number == 2),
            "segmentation": [[1, 1, 9, 1, 5, 7]],
            "bbox": [1, 1, 8.5, 6],
            "area": 24.0,
        }
        for image in range(1, 41)
        for number in range(3)
    ]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1}], "info": {"year": 1}}


def ids(records):
    return {record["id"] for record in records}


def test_ids_of_any_text(content):
    content["images"][0]["id"] = "\ud800"
    assert len(split_by_images(content, 0.25, seed=1)["images"]) == 10


@pytest.mark.parametrize("split", [split_by_images, split_by_masks])
def test_same_part_whatever_the_order(content, split):
    before = copy.deepcopy(content)
    part = split(content, 0.25, seed=1)
    assert content == before
    shuffled = {**content, "images": content["images"][::-1], "annotations": content["annotations"][::-1]}
    other = split(shuffled, 0.25, seed=1)
    assert sorted(map(str, part["annotations"])) == sorted(map(str, other["annotations"]))
    assert part != split(content, 0.25, seed=2)


def test_images_keep_all_their_annotations(content):
    part = split_by_images(content, 0.25, seed=0)
    assert len(part["images"]) == 10 and part["categories"] == content["categories"] and part["info"]
    chosen = ids(part["images"])
    assert part["annotations"] == [a for a in content["annotations"] if a["image_id"] in chosen]


def test_masks_that_are_withheld_leave_no_trace(content):
    part = split_by_masks(content, 0.1, seed=0)
    assert part["images"] == content["images"]
    withheld = [a for a in part["annotations"] if a.get("mask_withheld")]
    assert len(withheld) == 80 - 8 and not any(a["iscrowd"] for a in withheld)
    for annotation in withheld:
        assert annotation["segmentation"] == [[1, 1, 9.5, 1, 9.5, 7, 1, 7]]
        assert annotation["bbox"] == [1, 1, 8.5, 6] and annotation["area"] == 51
    kept = [a for a in part["annotations"] if not a.get("mask_withheld")]
    assert all(a in content["annotations"] for a in kept) and len(kept) == 48


def test_smaller_parts_lie_within_larger_ones_and_chance_is_fair():
    numbers = range(2000)
    assert choose(numbers, 0.05, 0) < choose(numbers, 0.1, 0) and len(choose(numbers, 0.05, 0)) == 100
    assert choose(numbers, 1.0, 0) == set(numbers) and len(choose(numbers, 1e-6, 0)) == 1
    assert 40 < sum(number < 1000 for number in choose(numbers, 0.05, 0)) < 60
    # Recorded: what a seed means must never change.
    assert sorted(choose(range(10), 0.3, 0)) == [4, 7, 9]


@pytest.mark.parametrize("fraction", [0, -0.5, 1.5, 5])
def test_impossible_fractions(content, fraction):
    with pytest.raises(InputError, match="5% is 0.05"):
        split_by_images(content, fraction, 0)


def test_empty_and_incomplete_files(content):
    with pytest.raises(InputError, match="nothing to choose from"):
        split_by_masks({"images": [], "annotations": [], "categories": []}, 0.5, 0)
    del content["annotations"][4]["bbox"]
    with pytest.raises(InputError, match="annotation #4 has no bbox"):
        split_by_masks(content, 0.5, 0)
    del content["images"][1]["id"]
    with pytest.raises(InputError, match="image #1 has no id"):
        split_by_images(content, 0.5, 0)


@pytest.mark.parametrize("box", [[1, 2, 3], ["1", "2", "3", "4"], "box", [1, 2, float("nan"), 4]])
def test_boxes_that_are_none(content, box):
    content["annotations"][3]["bbox"] = box
    with pytest.raises(InputError, match="annotation #3 has bbox .*four numbers"):
        split_by_masks(content, 0.5, 0)


@pytest.mark.parametrize("split, section", [(split_by_images, "images"), (split_by_masks, "annotations")])
def test_ids_that_are_none(content, split, section):
    kind, first = section[:-1], content[section][0]
    for record, line in [
        (None, f"{kind} #0 has no id"),
        ({**first, "id": [1]}, rf"{kind} #0 has id \[1\]"),
        ({**first, "id": content[section][1]["id"]}, "is used more than once"),
    ]:
        with pytest.raises(InputError, match=line):
            split({**content, section: [record, *content[section][1:]]}, 0.5, 0)


def test_crowds_alone_are_nothing_to_choose_masks_from(content):
    content["annotations"] = [a for a in content["annotations"] if a["iscrowd"]]
    with pytest.raises(InputError, match="no annotation that is not a crowd"):
        split_by_masks(content, 0.5, 0)
