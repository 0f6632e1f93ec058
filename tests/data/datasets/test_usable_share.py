import copy

import pytest

from solo_d2.data.datasets.problems import Problems
from solo_d2.data.datasets.usable_share import check_boxes, check_learnable, check_share
from solo_d2.utils.errors import InputError


def _content(images, annotations):
    return {"images": [{}] * images, "annotations": [{"iscrowd": 0}] * annotations}


def _problems(kind, count):
    problems = Problems()
    for number in range(count):
        problems.add(kind, f"annotation {number}")
    return problems


@pytest.mark.parametrize(
    ("total", "lost", "share"),
    [(25, 2, 0.1), (3, 1, 0.1), (20, 2, 0.1), (25, 25, 1), (10, 1, 0), (25, 0, 0)],
)
def test_few_skipped_annotations_are_let_pass(total, lost, share):
    check_share(_content(4, total), _content(4, total - lost), _problems("empty mask", lost), "a.json", share)


@pytest.mark.parametrize(
    ("total", "lost", "share", "enough"),
    [(25, 23, 0.1, "0.92"), (25, 3, 0.1, "0.12"), (3, 2, 0.6, "0.67"), (100, 29, 0.1, "0.29")],
)
def test_many_are_one_line_whose_advice_works(total, lost, share, enough):
    arguments = _content(4, total), _content(4, total - lost), _problems("empty mask", lost), "a.json"
    line = rf"a.json: {lost} of {total} annotations .*{lost}: empty mask, such as annotation 0.* {enough}$"
    with pytest.raises(InputError, match=line):
        check_share(*arguments, share)
    check_share(*arguments, float(enough))


def test_many_images_are_one_line():
    with pytest.raises(InputError, match="2 of 4 images cannot be used .*2: image file missing"):
        check_share(_content(4, 9), _content(2, 9), _problems("image file missing", 2), "a.json", 0.1)


@pytest.mark.parametrize("kind", ["annotation listed twice", "image listed twice"])
def test_repeated_records_are_no_loss(kind):
    before, after = _content(9, 9), _content(9, 9)
    after["annotations" if kind.startswith("annotation") else "images"] = [{}]
    check_share(before, after, _problems(kind, 8), "a.json", 0.1)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_an_impossible_share_is_one_line(share):
    with pytest.raises(InputError, match="max_skipped is a share from 0 to 1"):
        check_share(_content(1, 1), _content(1, 1), Problems(), "a.json", share)


def test_something_must_be_learnable():
    content = _content(2, 3)
    check_learnable(content, "a.json")
    crowds = copy.deepcopy(content)
    crowds["annotations"] = [{"iscrowd": 1}] * 3
    with pytest.raises(InputError, match=r"all 3 annotations are crowds \(iscrowd 1\).*set iscrowd to 0"):
        check_learnable(crowds, "a.json")
    with pytest.raises(InputError, match="a.json has no annotation"):
        check_learnable({"annotations": []}, "a.json")


def _boxes(*boxes):
    annotations = [{"image_id": 1, "bbox": list(box), "segmentation": []} for box in boxes]
    return {"images": [{"id": 1, "width": 100, "height": 60}], "annotations": annotations}


PIXELS = [(60, 10, 30, 40), (20, 30, 50, 25), (0.5, 0.5, 0.4, 0.4), (70, 40, 32, 21)]


def test_boxes_in_pixels_pass():
    check_boxes(_boxes(*PIXELS), "a.json")
    check_boxes(_boxes(), "a.json")
    check_boxes(_boxes((80, 40, 30, 40)), "a.json")  # a single one may leave its image


def test_boxes_without_masks_in_other_conventions_are_one_line():
    fractions = _boxes(*((x / 102, y / 61, w / 102, h / 61) for x, y, w, h in PIXELS))
    with pytest.raises(InputError, match=r"a.json: all boxes are within 0\.\.1"):
        check_boxes(fractions, "a.json")
    corners = _boxes(*((x, y, x + w, y + h) for x, y, w, h in PIXELS))
    with pytest.raises(InputError, match="a.json: 3 of 4 boxes reach beyond their images.*two corners"):
        check_boxes(corners, "a.json")
    for content in (fractions, corners):  # boxes with masks are compared with the masks
        for annotation in content["annotations"]:
            annotation["segmentation"] = [[0, 0, 9, 0, 9, 9]]
        check_boxes(content, "a.json")
