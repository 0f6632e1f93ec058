"""Swapping predictions for ground truth on scenes whose answer is known by hand."""

import json
import math

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from solo_d2.evaluation.error_analysis import SWAPS, analyze_errors, format_table, read_pair
from solo_d2.utils.errors import InputError

H, W = 60, 80


def rle(x0, y0, x1, y1):
    mask = np.zeros((H, W), np.uint8)
    mask[y0:y1, x0:x1] = 1
    encoded = coco_mask.encode(np.asfortranarray(mask))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def result(box, category, score=0.9, image=1):
    return {"image_id": image, "category_id": category, "score": score, "segmentation": rle(*box)}


@pytest.fixture
def analyze(tmp_path):
    """``analyze(results)`` against three objects of two classes, a crowd, and an image without any."""

    def run(results):
        objects = [((5, 5, 25, 25), 1, 0), ((40, 10, 70, 40), 2, 0), ((5, 40, 25, 55), 1, 0)]
        objects.append(((30, 45, 75, 60), 1, 1))
        content = {
            "images": [{"id": i, "height": H, "width": W, "file_name": f"{i}.png"} for i in (1, 2)],
            "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
            "annotations": [
                {
                    "id": i + 1,
                    "image_id": 1,
                    "category_id": category,
                    "iscrowd": crowd,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    # Polygons, or the crowd's RLE: any COCO file will do.
                    "segmentation": rle(x0, y0, x1, y1) if crowd else [[x0, y0, x1, y0, x1, y1, x0, y1]],
                }
                for i, ((x0, y0, x1, y1), category, crowd) in enumerate(objects)
            ],
        }
        (tmp_path / "truth.json").write_text(json.dumps(content))
        (tmp_path / "results.json").write_text(json.dumps(results))
        return analyze_errors(*read_pair(tmp_path / "truth.json", tmp_path / "results.json"))

    return run


def test_perfect_results_gain_nothing(analyze):
    rows = analyze([result((5, 5, 25, 25), 1), result((40, 10, 70, 40), 2), result((5, 40, 25, 55), 1)])
    assert list(rows) == list(SWAPS)
    assert all(row["AP"] == pytest.approx(100) for row in rows.values())


def test_bad_masks_and_wrong_classes_are_told_apart(analyze):
    """Masks half as wide as the objects (IoU 0.5: no match above), and one object of the other class."""
    rows = analyze([result((5, 5, 15, 25), 1), result((40, 10, 55, 40), 1), result((5, 40, 15, 55), 1)])
    assert rows["predictions"]["AP75"] == pytest.approx(0)
    # Class a: its two objects and one false positive; class b: nothing.
    assert rows["true masks"]["AP"] == pytest.approx(rows["true masks"]["AP50"])
    assert 0 < rows["true masks"]["AP"] < 55
    assert rows["true classes"]["AP75"] == pytest.approx(0)
    assert rows["true classes"]["AP50"] == pytest.approx(100)
    assert rows["true masks and classes"]["AP"] == pytest.approx(100)


def test_what_overlaps_nothing_stays_and_crowds_are_no_match(analyze):
    """Behind the two found objects: a prediction on the crowd, and one in the image without objects."""
    right = [result((5, 5, 25, 25), 1), result((40, 10, 70, 40), 2), result((5, 40, 25, 55), 1)]
    stray = [result((35, 50, 50, 58), 1, 0.95), result((10, 10, 20, 20), 1, 0.95, image=2)]
    rows = analyze(right + stray)
    assert rows["true masks and classes"] == pytest.approx(rows["predictions"], nan_ok=True)
    # The stray in image 2 precedes both objects of class a: precision 1/2, 2/3; the crowd's is ignored.
    assert rows["predictions"]["AP"] == pytest.approx(100 * (2 / 3 + 1) / 2, abs=0.5)
    assert math.isnan(rows["predictions"]["APl"])


def test_boxes_do_not_decide_areas(analyze):
    boxed = result((40, 10, 70, 40), 2)
    boxed["bbox"] = [0, 0, 200, 200]
    assert analyze([boxed])["predictions"] == pytest.approx(
        analyze([result((40, 10, 70, 40), 2)])["predictions"], nan_ok=True
    )


def test_table(analyze):
    text = format_table(analyze([result((5, 5, 25, 25), 1)]))
    lines = text.splitlines()
    assert len(lines) == 1 + len(SWAPS) and "AP75" in lines[0] and lines[1].startswith("predictions")
    assert len({len(line) for line in lines}) == 1


def test_mistakes_are_one_line(analyze, tmp_path):
    for results, message in [
        ([], "no list of COCO results"),
        (
            [{"image_id": 1, "category_id": 1, "score": 1, "bbox": [0, 0, 1, 1]}],
            "boxes alone are not",
        ),
        ([result((5, 5, 9, 9), 1, image=7)], "image 7"),
    ]:
        with pytest.raises(InputError, match=message):
            analyze(results)
    with pytest.raises(InputError, match="results file .* does not exist"):
        read_pair(tmp_path / "truth.json", tmp_path / "gone.json")
    with pytest.raises(InputError, match="not a COCO annotation file"):
        read_pair(tmp_path / "results.json", tmp_path / "results.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        read_pair(tmp_path / "broken.json", tmp_path / "results.json")
