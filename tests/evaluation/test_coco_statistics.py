"""COCO's numbers without COCO's printing."""

import math

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from solo_d2.evaluation.coco_statistics import check_masks, coco_statistics, index_truth, precision_curves
from solo_d2.utils.errors import InputError

BOX = [4.0, 4.0, 40.0, 40.0]  # of COCO's medium size


def truth():
    return index_truth(
        {
            "images": [{"id": 1, "height": 64, "width": 64}],
            "categories": [{"id": 1, "name": "thing"}],
            "annotations": [
                {"id": 1, "image_id": 1, "category_id": 1, "bbox": BOX, "area": 1600.0, "iscrowd": 0}
            ],
        },
        "truth.json",
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


FAR = [[0, 0, 1e12, 0, 5, 5]]
RLE = {"size": [64, 64], "counts": [64 * 64 - 4, 4]}


@pytest.mark.parametrize(
    "segmentation, size, reason",
    [
        (FAR, (64, 64), "polygon far outside its image"),
        ([[0, 0, 10**400, 0, 5, 5]], (64, 64), "not a number"),
        ({**RLE, "counts": [2**63, 4]}, (64, 64), "malformed RLE"),
        ({**RLE, "counts": "oooooooooooo"}, (64, 64), "malformed RLE"),
        ([[0, 0, 9, 0, 9, 9]], (2**16, 64), r"impossible size, 65536 x 64"),
        ([[0, 0, 9, 0, 9, 9]], (10**400, None), "impossible size"),
    ],
)
def test_masks_that_pycocotools_must_not_see(segmentation, size, reason):
    image = {"id": 1, "height": size[0], "width": size[1]}
    content = {"images": [image], "annotations": [{"id": 7, "image_id": 1, "segmentation": segmentation}]}
    with pytest.raises(InputError, match=f"^x.json: annotation or result 7: .*{reason}"):
        index_truth(content, "x.json")


def test_usable_masks_and_those_of_other_images_pass():
    images = [{"id": 1, "height": 64, "width": 64}, {"id": 2}]
    usable = [RLE, [[0, 0, 9, 0, 9, 9]], [], None]
    annotations = [{"image_id": 1, "segmentation": one} for one in usable]
    check_masks([*annotations, {"image_id": 2}, {"image_id": 9, "segmentation": FAR}], images, "x.json")


def test_precision_curves_are_means_of_the_classes_with_objects(tmp_path):
    """Class 1: found, behind a false result; class 2: found with a part of its mask; class 3: no object."""

    def rle(x0, x1):
        mask = np.zeros((20, 40), np.uint8, order="F")
        mask[2:12, x0:x1] = 1
        encoded = coco_mask.encode(mask)
        return {"size": encoded["size"], "counts": encoded["counts"].decode()}

    content = {
        "images": [{"id": 1, "height": 20, "width": 40, "file_name": "1.jpg"}],
        "categories": [{"id": number, "name": str(number)} for number in (1, 2, 3)],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": number, "segmentation": mask, "iscrowd": 0}
            | {"area": 100, "bbox": [0, 2, 10, 10]}
            for number, mask in ((1, rle(0, 10)), (2, rle(15, 25)))
        ],
    }
    found = [(1, rle(30, 40), 0.9), (1, rle(0, 10), 0.8), (2, rle(15, 21), 0.7)]
    results = [{"image_id": 1, "category_id": c, "segmentation": m, "score": s} for c, m, s in found]
    curves = precision_curves(index_truth(content, "test"), results)
    assert {iou: set(np.round(values, 6)) for iou, values in curves.items()} == {0.5: {0.75}, 0.75: {0.25}}
    assert all(values.shape == (101,) for values in curves.values())
