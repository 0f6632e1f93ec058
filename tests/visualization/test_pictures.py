"""Labels drawn over images."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from solo_d2.utils.errors import InputError
from solo_d2.visualization.labels import draw_labels, draw_row, make_sheet, read_labels, save_picture, shrink

GREY = np.full((32, 64, 3), 120, np.uint8)


def make_annotation(top, score=None):
    mask = np.zeros(GREY.shape[:2], np.uint8, order="F")
    mask[top : top + 8, 8:40] = 1
    rle = coco_mask.encode(mask)
    annotation = {"segmentation": {"size": rle["size"], "counts": rle["counts"].decode()}, "image_id": 3}
    return annotation if score is None else annotation | {"score": score}


def test_small_images_are_enlarged_and_masks_coloured():
    plain, drawn = draw_labels(GREY, []), draw_labels(GREY, [make_annotation(4, 0.5), make_annotation(20)])
    assert plain.shape == drawn.shape == (256, 512, 3) and (plain == 120).all()
    assert (drawn[8 * 4 + 16 : 8 * 12 - 16, 80:300] != 120).any(2).mean() > 0.9
    assert (drawn[:, 400:] == 120).all()


def test_row_has_the_image_first_and_follows_the_threshold():
    labels = ({"a.png": {"id": 3}}, {3: [make_annotation(4, 0.5)]})
    row = draw_row(GREY, "a.png", [labels, ({}, {})], with_scores=False)
    assert len(row) == 3 and (row[0] != row[1]).any() and (row[0] == row[2]).all()
    assert (draw_row(GREY, "a.png", [labels], threshold=0.6)[1] == row[0]).all()


def test_sheet_of_unequal_pictures():
    sheet = make_sheet([[GREY, GREY[:16]], [GREY[:, :32], GREY]])
    assert sheet.shape == (2 * 36, 2 * 68, 3)
    assert (sheet[:32, :64] == 120).all() and (sheet[16:36, 68:] == 255).all()


def test_files(tmp_path):
    content = {"images": [{"id": 3, "file_name": "a.png"}], "annotations": [make_annotation(0, 0.5)]}
    (tmp_path / "x.json").write_text(json.dumps(content))
    images, annotations = read_labels(tmp_path / "x.json")
    assert images["a.png"]["id"] == 3 and len(annotations[3]) == 1
    save_picture(GREY, tmp_path / "new" / "a.jpg")
    assert Image.open(tmp_path / "new" / "a.jpg").size == (64, 32)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.jpg"]


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "label file .*x.json does not exist"),
        ("{", "x.json cannot be read as JSON"),
        ("[]", "x.json cannot be read as COCO labels"),
        ('{"images": [{}], "annotations": []}', "x.json cannot be read as COCO labels"),
    ],
)
def test_no_labels_is_one_line(tmp_path, content, message):
    if content is not None:
        (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError, match=message):
        read_labels(tmp_path / "x.json")


def test_every_coco_form_of_a_mask_is_drawn():
    packed = make_annotation(4)
    polygon = {"segmentation": [[8, 4, 40, 4, 40, 12, 8, 12]]}
    counts = [8 * 32 + 4, 8, *[24, 8] * 31, 24 * 32 + 20]
    runs = {"segmentation": {"size": [32, 64], "counts": counts}}
    expected = draw_labels(GREY, [packed])
    assert (expected != draw_labels(GREY, [])).any()
    for other in (polygon, runs):
        assert np.array_equal(draw_labels(GREY, [other]), expected)
    for empty in ({"segmentation": []}, {"bbox": [0, 0, 4, 4]}):
        assert np.array_equal(draw_labels(GREY, [empty]), draw_labels(GREY, []))


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ([[1, 2, 3]], "odd number of coordinates"),
        ([[1, 2, 3, 4]], "fewer than three points"),
        ([[]], "fewer than three points"),
        ([["a", 2, 3, 4, 5, 6]], "not a number"),
        ([{"x": 1}], "not a number"),
        ("text", "neither polygons nor RLE"),
        ({"size": [8, 8], "counts": [64]}, "size is not the image's"),
        ({"size": [32, 64]}, "malformed RLE"),
        ({"size": [32, 64], "counts": "zzzz"}, "malformed RLE"),
    ],
)
def test_a_malformed_mask_is_left_out_and_named(segmentation, reason, caplog):
    whole = make_annotation(4, 0.5)
    broken = {"segmentation": segmentation, "image_id": 3, "score": 0.9}
    assert np.array_equal(draw_labels(GREY, [broken, whole]), draw_labels(GREY, [whole]))
    assert "a label of image 3 is not drawn" in caplog.text and reason in caplog.text


@pytest.mark.parametrize("score", [None, "high", float("nan")])
def test_what_is_no_score_is_none(score):
    odd, plain = make_annotation(4) | {"score": score}, make_annotation(4)
    rows = [draw_row(GREY, "a", [({"a": {"id": 3}}, {3: [one]})], 0.5) for one in (odd, plain)]
    assert np.array_equal(rows[0][1], rows[1][1]) and (rows[0][0] != rows[0][1]).any()


def test_large_pictures_are_shrunk():
    assert shrink(GREY, 32).shape == (16, 32, 3)
    assert np.array_equal(shrink(GREY, 64), GREY)


def test_only_the_wanted_images_are_kept(tmp_path):
    images = [{"id": 3, "file_name": "a.png"}, {"id": 4, "file_name": "b.png"}]
    annotations = [make_annotation(0), make_annotation(0) | {"image_id": 4}]
    (tmp_path / "x.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    assert all(len(part) == 2 for part in read_labels(tmp_path / "x.json"))
    images, annotations = read_labels(tmp_path / "x.json", ["b.png"])
    assert set(images) == {"b.png"} and set(annotations) == {4}
