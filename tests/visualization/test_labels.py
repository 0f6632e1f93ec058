"""Labels drawn over images."""

import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from solo_d2.utils.errors import InputError
from solo_d2.visualization.labels import LabelFile, draw_labels, draw_row, label_sheet, read_labels

GRAY = np.full((32, 64, 3), 120, np.uint8)


def make_annotation(top, score=None):
    mask = np.zeros(GRAY.shape[:2], np.uint8, order="F")
    mask[top : top + 8, 8:40] = 1
    rle = coco_mask.encode(mask)
    annotation = {"segmentation": {"size": rle["size"], "counts": rle["counts"].decode()}, "image_id": 3}
    return annotation if score is None else annotation | {"score": score}


def test_small_images_are_enlarged_and_masks_colored():
    plain, drawn = draw_labels(GRAY, []), draw_labels(GRAY, [make_annotation(4, 0.5), make_annotation(20)])
    assert plain.shape == drawn.shape == (256, 512, 3) and (plain == 120).all()
    assert (drawn[8 * 4 + 16 : 8 * 12 - 16, 80:300] != 120).any(2).mean() > 0.9
    assert (drawn[:, 400:] == 120).all()


def test_row_has_the_image_first_and_follows_the_threshold():
    labels = LabelFile({"a.png": {"id": 3}}, {3: [make_annotation(4, 0.5)]})
    row = draw_row(GRAY, "a.png", [labels, LabelFile({}, {})], with_scores=False)
    assert len(row) == 3 and (row[0] != row[1]).any() and (row[0] == row[2]).all()
    assert (draw_row(GRAY, "a.png", [labels], threshold=0.6)[1] == row[0]).all()


def test_sheet_has_a_gap_after_every_picture():
    sheet = label_sheet([[GRAY, GRAY[:16]], [GRAY[:, :32], GRAY]])
    assert sheet.shape == (2 * 36, 2 * 68, 3)
    assert (sheet[:32, :64] == 120).all() and (sheet[16:36, 68:] == 255).all()


def test_files(tmp_path):
    content = {"images": [{"id": 3, "file_name": "a.png"}], "annotations": [make_annotation(0, 0.5)]}
    (tmp_path / "x.json").write_text(json.dumps(content))
    labels = read_labels(tmp_path / "x.json")
    assert labels.images["a.png"]["id"] == 3
    assert labels.of("a.png") == content["annotations"] and list(labels.of("b.png")) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        ("{", "cannot be read as JSON"),
        ("[]", "is not in COCO format: list indices"),
        ('{"images": [{}], "annotations": []}', "is not in COCO format: 'file_name' is missing"),
    ],
)
def test_no_labels_is_one_line(tmp_path, content, message):
    if content is not None:
        (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError, match=rf"label file .*x\.json {message}") as info:
        read_labels(tmp_path / "x.json")
    assert "\n" not in str(info.value)


def test_thin_strips_are_not_enlarged_without_bound():
    strip = np.full((1, 5000, 3), 120, np.uint8)
    assert draw_labels(strip, []).shape == strip.shape


def test_every_coco_form_of_a_mask_is_drawn():
    packed = make_annotation(4)
    polygon = {"segmentation": [[8, 4, 40, 4, 40, 12, 8, 12]]}
    counts = [8 * 32 + 4, 8, *[24, 8] * 31, 24 * 32 + 20]
    runs = {"segmentation": {"size": [32, 64], "counts": counts}}
    expected = draw_labels(GRAY, [packed])
    assert (expected != draw_labels(GRAY, [])).any()
    for other in (polygon, runs):
        assert np.array_equal(draw_labels(GRAY, [other]), expected)
    for empty in ({"segmentation": []}, {"bbox": [0, 0, 4, 4]}):
        assert np.array_equal(draw_labels(GRAY, [empty]), draw_labels(GRAY, []))


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
    assert np.array_equal(draw_labels(GRAY, [broken, whole]), draw_labels(GRAY, [whole]))
    assert "a label of image 3 is not drawn" in caplog.text and reason in caplog.text


@pytest.mark.parametrize("score", [None, "high", float("nan")])
def test_what_is_no_score_is_none(score):
    odd, plain = make_annotation(4) | {"score": score}, make_annotation(4)
    rows = [draw_row(GRAY, "a", [LabelFile({"a": {"id": 3}}, {3: [one]})], 0.5) for one in (odd, plain)]
    assert np.array_equal(rows[0][1], rows[1][1]) and (rows[0][0] != rows[0][1]).any()


def test_only_the_wanted_images_are_kept(tmp_path):
    images = [{"id": 3, "file_name": "a.png"}, {"id": 4, "file_name": "b.png"}]
    annotations = [make_annotation(0), make_annotation(0) | {"image_id": 4}]
    (tmp_path / "x.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    whole = read_labels(tmp_path / "x.json")
    assert len(whole.images) == len(whole.annotations) == 2
    part = read_labels(tmp_path / "x.json", ["b.png"])
    assert set(part.images) == {"b.png"} and set(part.annotations) == {4}


def test_class_names_are_written_next_to_scores():
    found = make_annotation(4, 0.5) | {"category_id": 7}
    plain = draw_labels(GRAY, [found], with_scores=False)
    named = draw_labels(GRAY, [found], with_scores=False, names={7: "fig"})
    both = draw_labels(GRAY, [found], names={7: "fig"})
    assert (plain != named).any() and (named != both).any()
    assert (draw_labels(GRAY, [found], with_scores=False, names={8: "date"}) == plain).all()
