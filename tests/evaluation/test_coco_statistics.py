"""COCO's numbers without COCO's printing."""

import math

from solo_d2.evaluation.coco_statistics import coco_statistics, index_truth

BOX = [4.0, 4.0, 40.0, 40.0]  # of COCO's medium size


def truth():
    return index_truth(
        {
            "images": [{"id": 1, "height": 64, "width": 64}],
            "categories": [{"id": 1, "name": "thing"}],
            "annotations": [
                {"id": 1, "image_id": 1, "category_id": 1, "bbox": BOX, "area": 1600.0, "iscrowd": 0}
            ],
        }
    )


def test_percents_and_nan_where_nothing_is_to_be_found(capsys):
    result = {"image_id": 1, "category_id": 1, "bbox": BOX, "score": 0.9}
    ap, ap50, _, small, medium, *_ = coco_statistics(truth(), [result], "bbox")
    assert math.isclose(ap, 100) and math.isclose(ap50, 100) and math.isclose(medium, 100)
    assert math.isnan(small)
    assert capsys.readouterr().out == ""


def test_results_that_count_per_image():
    wrong = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "score": 0.9}
    right = {**wrong, "bbox": BOX, "score": 0.5}
    recall_at_one = coco_statistics(truth(), [wrong, right], "bbox", (1, 2, 100))[6]
    recall_at_two = coco_statistics(truth(), [wrong, right], "bbox", (1, 2, 100))[7]
    assert recall_at_one == 0 and math.isclose(recall_at_two, 100)
