"""COCO's numbers without COCO's printing."""

import math

import pytest

from solo_d2.evaluation.coco_statistics import check_masks, coco_statistics, index_truth
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
