"""The page on photographs, for a set of two pictures with known mistakes."""

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from solo_d2.evaluation.coco_statistics import index_truth
from solo_d2.visualization.photo_report import write_photo_report

H, W = 60, 80
LEFT, RIGHT = (5, 5, 25, 25), (30, 5, 50, 25)


def rle(*boxes):
    mask = np.zeros((H, W), np.uint8)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = 1
    encoded = coco_mask.encode(np.asfortranarray(mask))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def result(mask, category=1, score=0.9, image=1):
    return {"image_id": image, "category_id": category, "score": score, "segmentation": mask}


@pytest.fixture
def report(tmp_path):
    """``report(results)`` returns the text of the page."""
    annotations = [
        {"id": i + 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [0, 0, 1, 1], "area": 400}
        | {"segmentation": rle(box)}
        for i, box in enumerate((LEFT, RIGHT))
    ]
    content = {
        "images": [{"id": i, "height": H, "width": W, "file_name": f"{i}.jpg"} for i in (1, 2, 3)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "fig"}, {"id": 2, "name": "date & nut"}],
    }
    for number in (1, 2):
        Image.fromarray(np.full((H, W, 3), 90, np.uint8)).save(tmp_path / f"{number}.jpg")
    (tmp_path / "3.jpg").write_bytes(b"no picture")
    numbers = {"segm/AP": 12.34, "segm/AP50": None, "segm/AP-fig": 55.5, "bbox/AP": 7.0}

    def write(results):
        page, truth = tmp_path / "report.html", index_truth(content, "test")
        write_photo_report(page, truth, results, tmp_path, numbers, {"Command": "solo-d2 photos <folder>"})
        return page.read_text()

    return write


def test_the_page_has_numbers_pictures_and_mistakes(report):
    wrong = [result(rle(RIGHT), 2, 0.8), result(rle(LEFT, RIGHT), 1, 0.7), result(rle(LEFT), image=2)]
    text = report([result(rle(LEFT)), *wrong, result(rle(LEFT), score=0.2, image=2)])
    assert "<td>12.3</td>" in text and "<td>-</td>" in text and "<td>55.5</td>" in text
    assert "solo-d2 photos &lt;folder&gt;" in text and "<polyline" in text
    assert "Of 4 masks with a score of 0.5 or more, 1 contain at least half of two objects" in text
    assert "wrong class: date &amp; nut 0.80, not fig; 1.jpg" in text
    assert "mask on several objects: fig 0.70; 1.jpg" in text
    assert "mask on no object: fig 0.90; 2.jpg" in text
    # Two readable pictures with annotations and results each, and three mistakes.
    assert text.count("data:image/jpeg") == 2 * 2 + 3 and "3.jpg" not in text


def test_a_model_that_finds_nothing(report):
    text = report([])
    assert "There is nothing to show" in text and "missed object: fig; 1.jpg" in text
    assert text.count("data:image/jpeg") == 2 * 2 + 2


def test_only_the_largest_mistakes_of_a_kind_are_shown(report):
    text = report([result(rle((0, y, 9, y + 9)), score=0.5 + y / 100, image=2) for y in range(10)])
    assert text.count("mask on no object: fig") == 2 * 6 and "0.59;" in text and "0.53;" not in text
