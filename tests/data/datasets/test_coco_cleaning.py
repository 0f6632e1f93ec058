import copy
import logging

import numpy as np
import pytest
from PIL import ExifTags, Image

from solo_d2.data.datasets.coco_cleaning import clean_coco
from solo_d2.utils.errors import InputError

SQUARE = [[2, 3, 12, 3, 12, 9, 2, 9]]


def _annotation(number, **changes):
    record = {"id": number, "image_id": 1, "category_id": 7, "segmentation": SQUARE}
    record |= {"area": 60, "bbox": [2, 3, 10, 6], "iscrowd": 0, **changes}
    return {key: value for key, value in record.items() if value != "absent"}


@pytest.fixture
def content(tmp_path):
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / name)
    images = [
        {"id": 1, "file_name": "a.png", "height": 20, "width": 30},
        {"id": 2, "file_name": "b.png", "height": 20, "width": 30},
    ]
    categories = [{"id": 9, "name": "late"}, {"id": 7, "name": "early"}]
    return {"images": images, "annotations": [_annotation(1)], "categories": categories, "info": {}}


def _clean(content, tmp_path):
    before = copy.deepcopy(content)
    result = clean_coco(content, "file.json", tmp_path)
    assert content == before  # the input is not changed
    return result


def test_sound_content_stays_and_categories_are_sorted(content, tmp_path):
    cleaned, findings = _clean(content, tmp_path)
    assert not findings
    assert cleaned["annotations"] == content["annotations"] and cleaned["images"] == content["images"]
    assert [category["id"] for category in cleaned["categories"]] == [7, 9]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"image_id": 99}, "image_id of no usable image"),
        ({"image_id": "absent"}, "image_id of no usable image"),
        ({"image_id": [1]}, "image_id of no usable image"),
        ({"category_id": 8}, "category_id of no usable category"),
        ({"category_id": True}, "category_id of no usable category"),
        ({"image_id": True}, "image_id of no usable image"),
        ({"category_id": "8"}, "category_id of no usable category"),
        ({"segmentation": []}, "no segmentation"),
        ({"segmentation": "absent"}, "no segmentation"),
        ({"segmentation": [[1, 2, 3, 4, 5]]}, "odd number"),
        ({"segmentation": {"size": [30, 20], "counts": [600]}}, "size is not the image's"),
    ],
)
def test_broken_annotations_are_skipped(content, tmp_path, change, reason):
    content["annotations"].append(_annotation(2, **change))
    cleaned, findings = _clean(content, tmp_path)
    assert [record["id"] for record in cleaned["annotations"]] == [1]
    assert not findings.fixed
    ((found, records),) = findings.skipped
    assert reason in found and records == ["annotation 2"]


@pytest.mark.parametrize(
    ("change", "expected", "reason"),
    [
        ({"area": "absent"}, {"area": 60.0}, "area"),
        ({"area": float("nan")}, {"area": 60.0}, "area"),
        ({"bbox": "absent"}, {"bbox": [2.0, 3.0, 10.0, 6.0]}, "bbox"),
        ({"bbox": [2, 3, 0, 6]}, {"bbox": [2.0, 3.0, 10.0, 6.0]}, "bbox"),
        ({"bbox": [50, 3, 5, 6]}, {"bbox": [2.0, 3.0, 10.0, 6.0]}, "bbox"),
        ({"bbox": [2, 3, "x", 6]}, {"bbox": [2.0, 3.0, 10.0, 6.0]}, "bbox"),
        ({"iscrowd": "absent"}, {"iscrowd": 0}, "iscrowd"),
        ({"ignore": 1}, {"iscrowd": 1, "ignore": 0}, "ignore"),
        ({"mask_withheld": "yes"}, {"mask_withheld": 0}, "mask_withheld"),
        ({"segmentation": SQUARE[0]}, {"segmentation": SQUARE}, "outer list"),
    ],
)
def test_what_follows_from_the_mask_is_filled_in(content, tmp_path, change, expected, reason):
    content["annotations"].append(_annotation(2, **change))
    cleaned, findings = _clean(content, tmp_path)
    assert cleaned["annotations"][1] == {**_annotation(2), **expected}
    ((found, records),) = findings.fixed
    assert reason in found and records == ["annotation 2"] and not findings.skipped


@pytest.mark.parametrize(
    ("bbox", "fits"),
    [
        ([12, 13, 10, 6], True),
        ([10.5, 12, 12, 7], True),  # rounded outward
        ([11, 11, 13, 9], True),  # drawn by hand
        ([8, 5, 14, 15], False),
        ([12, 13, 22, 19], False),  # corners
        ([0.4, 0.65, 0.33, 0.3], False),  # fractions of the image
        ([17, 16, 10, 6], False),  # a center
        ([12, 13, 40, 40], False),
    ],
)
def test_a_box_is_compared_with_its_mask(content, tmp_path, bbox, fits):
    mask = [[12, 13, 22, 13, 22, 19, 12, 19]]
    content["annotations"].append(_annotation(2, segmentation=mask, bbox=bbox))
    cleaned, findings = _clean(content, tmp_path)
    assert cleaned["annotations"][1]["bbox"] == (bbox if fits else [12.0, 13.0, 10.0, 6.0])
    expected = {} if fits else {"bbox that does not fit its mask taken from the mask": ["annotation 2"]}
    assert dict(findings.fixed) == expected and not findings.skipped


def test_a_box_of_corners_near_the_origin_is_noticed(content, tmp_path):
    content["annotations"] = [
        _annotation(1, segmentation=[[3, 3, 25, 3, 25, 19, 3, 19]], area=352, bbox=[3, 3, 25, 19])
    ]
    cleaned, _ = _clean(content, tmp_path)
    assert cleaned["annotations"][0]["bbox"] == [3.0, 3.0, 22.0, 16.0]


def test_a_box_may_leave_the_image_with_its_mask(content, tmp_path):
    mask, bbox = [[-9, 3, 12, 3, 12, 40, -9, 40]], [-9, 3, 21, 37]
    content["annotations"] = [_annotation(1, segmentation=mask, area=204, bbox=bbox)]
    cleaned, findings = _clean(content, tmp_path)
    assert cleaned["annotations"][0]["bbox"] == bbox and not findings


@pytest.mark.parametrize(("area", "expected"), [(70, 70), (120, 120), (0.1, 60.0), (600, 60.0)])
def test_an_area_is_compared_with_its_mask(content, tmp_path, area, expected):
    content["annotations"][0]["area"] = area
    cleaned, findings = _clean(content, tmp_path)
    assert cleaned["annotations"][0]["area"] == expected
    assert bool(findings) == (area != expected)


def test_ids_missing_zero_reused_and_repeated_records(content, tmp_path):
    other = [[1, 1, 9, 1, 9, 9, 1, 9]]
    content["annotations"] += [
        _annotation(0),
        _annotation(1, segmentation=other),
        _annotation("absent"),
        _annotation(1),
        _annotation(40),
    ]
    cleaned, findings = _clean(content, tmp_path)
    assert [record["id"] for record in cleaned["annotations"]] == [1, 2, 3, 4, 40]
    assert dict(findings.skipped) == {"annotation listed twice": ["annotation 1"]}
    assert len(next(iter(dict(findings.fixed).values()))) == 3


def test_images(content, tmp_path):
    content["images"] += [
        {"id": 3, "file_name": "gone.png", "height": 20, "width": 30},
        {"id": 1, "file_name": "b.png", "height": 20, "width": 30},
        {"file_name": "b.png"},
        {"id": 4},
        "image",
        {"id": 5, "file_name": "b.png"},
    ]
    content["annotations"] += [_annotation(2, image_id=3), _annotation(3, image_id=5)]
    cleaned, findings = _clean(content, tmp_path)
    assert [image["id"] for image in cleaned["images"]] == [2, 5]
    assert cleaned["images"][1] == {"id": 5, "file_name": "b.png", "height": 20, "width": 30}
    assert dict(findings.skipped)["image file missing"] == ["gone.png"]
    assert dict(findings.skipped)["image whose id another image has, too"] == ["a.png", "b.png"]
    assert dict(findings.skipped)["image_id of no usable image"] == ["annotation 1", "annotation 2"]
    assert len(dict(findings.skipped)["image without a file name"]) == 2


def test_an_image_listed_twice_stays(content, tmp_path):
    content["images"].append(content["images"][0])
    cleaned, findings = _clean(content, tmp_path)
    assert [image["id"] for image in cleaned["images"]] == [1, 2]
    assert dict(findings.skipped) == {"image listed twice": ["a.png"]}


def test_listed_sizes_are_compared_with_the_files(content, tmp_path):
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:20])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    for name in ("turned.jpg", "wrong.jpg"):
        Image.new("RGB", (30, 20)).save(tmp_path / name, exif=exif)
    listed = [("b.png", 2**16, 2**16), ("b.png", 10**400, 1), ("wrong.jpg", 20, 30), ("cut.png", 20, 30)]
    listed += [("turned.jpg", 30, 20), ("turned.jpg", None, 30), ("a.png", 0, -1), ("b.png", 20.0, 30.0)]
    listed += [("deep.png", 20, 30)]
    Image.new("I;16", (30, 20)).save(tmp_path / "deep.png")
    for number, (name, height, width) in enumerate(listed, start=10):
        content["images"].append({"id": number, "file_name": name, "height": height, "width": width})
    cleaned, findings = _clean(content, tmp_path)
    assert dict(findings.skipped) == {
        "image whose listed size is not that of its file (upright)": ["b.png", "b.png", "wrong.jpg"],
        "image file unreadable": ["cut.png"],
        "image file with more than 8 bits per value (convert it to 8 bits)": ["deep.png"],
    }
    assert dict(findings.fixed) == {"image size read from the image file": ["turned.jpg", "a.png", "b.png"]}
    sizes = [(i["height"], i["width"]) for i in cleaned["images"][2:]]
    assert sizes == [(30, 20), (30, 20), (20, 30), (20, 30)] and type(sizes[3][0]) is int


@pytest.mark.parametrize("name", ["x" * 5000, "nul\0.png", "\ud800.png", "a.png/b.png", "new\nline.png"])
def test_impossible_file_names(content, tmp_path, name):
    content["images"].append({"id": 3, "file_name": name, "height": 20, "width": 30})
    _, findings = _clean(content, tmp_path)
    ((reason, (shown,)),) = findings.skipped
    assert reason == "image file missing" and shown.isprintable()


@pytest.mark.parametrize("number", [2**53 + 1, 2**63, 2**64, 10**400, -5])
def test_ids_that_evaluation_cannot_compute_with(content, tmp_path, number):
    content["annotations"].append(_annotation(number, segmentation=[[1, 1, 9, 1, 9, 9, 1, 9]]))
    cleaned, findings = _clean(content, tmp_path)
    assert [record["id"] for record in cleaned["annotations"]] == [1, 2]
    assert [reason for reason, _ in findings.fixed] == [
        "annotation with a missing, impossible or reused id renumbered"
    ]


def test_category_ids_of_any_kind_are_in_one_order(content, tmp_path):
    content["categories"] += [{"id": number, "name": f"n{number}"} for number in ("b", 2**64, -3, 1.5, None)]
    content["annotations"][0]["category_id"] = 2**64
    cleaned, findings = _clean(content, tmp_path)
    assert [category["id"] for category in cleaned["categories"]] == [-3, 7, 9, 2**64]
    assert cleaned["annotations"][0]["category_id"] == 2**64
    ((reason, labels),) = findings.skipped
    assert reason == "category without a whole-number id" and len(labels) == 3
    content["categories"] = [{"id": number, "name": f"n{number}"} for number in ("b", "a")]
    content["annotations"] = [_annotation(1, category_id="b")]
    cleaned, findings = _clean(content, tmp_path)
    assert [category["id"] for category in cleaned["categories"]] == ["a", "b"] and not findings


@pytest.mark.parametrize("key", ["area", "bbox"])
@pytest.mark.parametrize("value", [10**400, 1e300, float("nan")])
def test_impossible_numbers_are_measured(content, tmp_path, key, value):
    content["annotations"][0][key] = value if key == "area" else [2, 3, value, 6]
    cleaned, _ = _clean(content, tmp_path)
    assert cleaned["annotations"][0] == {**_annotation(1), "area": 60.0, "bbox": [2.0, 3.0, 10.0, 6.0]}


def test_categories(content, tmp_path):
    content["categories"] += [{"id": 7, "name": "again"}, {"name": "no id"}, {"id": 8}]
    cleaned, findings = _clean(content, tmp_path)
    assert [category["name"] for category in cleaned["categories"]] == ["early", "8", "late"]
    assert len(list(findings.skipped)) == 2 and len(list(findings.fixed)) == 1


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"images": "absent"}, "not a COCO annotation file"),
        ({"annotations": {}}, "not a COCO annotation file"),
        ({"categories": []}, "no usable category"),
        ({"images": []}, "lists no image"),
        ({"images": [{"id": 1, "file_name": "gone.png"}]}, "none of its 1 images.*gone.png"),
        ({"annotations": [{"id": 1}]}, "none of its annotations"),
    ],
)
def test_nothing_usable_is_one_line(content, tmp_path, change, line):
    content = {k: v for k, v in {**content, **change}.items() if v != "absent"}
    with pytest.raises(InputError, match=line) as info:
        clean_coco(content, "file.json", tmp_path)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("content", [[], None, "text", 3])
def test_json_that_is_not_coco(content, tmp_path):
    with pytest.raises(InputError, match="not a COCO annotation file"):
        clean_coco(content, "file.json", tmp_path)


def test_no_annotation_at_all_is_fine(content, tmp_path):
    content["annotations"] = []
    cleaned, findings = _clean(content, tmp_path)
    assert not findings and len(cleaned["images"]) == 2


def test_log_counts_and_shows_three_examples(content, tmp_path, caplog):
    content["annotations"] += [_annotation(number, segmentation=[]) for number in range(10, 15)]
    _, findings = _clean(content, tmp_path)
    with caplog.at_level(logging.WARNING):
        findings.log(logging.getLogger("test"), "file.json")
    (message,) = caplog.messages
    assert message == (
        "file.json: skipped 5: no segmentation (annotation 10, annotation 11, annotation 12, ...)"
    )


def test_embeddings_of_one_length_stay_and_others_are_dropped(content, tmp_path):
    values = [
        [1, 2.5],
        [3.0, -4],
        "absent",
        [1, 2, 3],
        [],
        "text",
        [1, float("inf")],
        [True, False],
        3,
        [[1], [2]],
    ]
    content["annotations"] = [
        _annotation(number, embedding=value, segmentation=[[2, 3, 12, 3, 12, 9 + number / 9, 2, 9]])
        for number, value in enumerate(values, start=1)
    ]
    cleaned, findings = _clean(content, tmp_path)
    kept = {a["id"]: a["embedding"] for a in cleaned["annotations"] if "embedding" in a}
    assert kept == {1: [1, 2.5], 2: [3.0, -4]} and len(cleaned["annotations"]) == len(values)
    ((reason, labels),) = findings.fixed
    assert reason.startswith("embedding") and len(labels) == 7


@pytest.mark.parametrize("segmentation", ["absent", [], None])
def test_boxes_without_masks_where_they_are_enough(content, tmp_path, segmentation):
    content["annotations"] = [
        _annotation(1),
        _annotation(2, segmentation=segmentation, area="absent", bbox=[1, 2, 4.5, 6]),
        _annotation(3, segmentation=segmentation, bbox="absent"),
    ]
    cleaned, findings = clean_coco(content, "file.json", tmp_path, boxes_only=True)
    first, second = cleaned["annotations"]
    assert first == content["annotations"][0]
    assert (second["bbox"], second["area"], second["segmentation"]) == ([1, 2, 4.5, 6], 27, [])
    assert dict(findings.skipped) == {"no segmentation": ["annotation 3"]}
    content["annotations"] = content["annotations"][1:]
    with pytest.raises(InputError, match="2: no segmentation.*evaluate boxes alone with boxes_only True"):
        clean_coco(content, "file.json", tmp_path)
