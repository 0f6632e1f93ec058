"""Mistakes on scenes whose answer is known by hand, and on random ones by counting pixels."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from solo_d2.evaluation.coco_statistics import index_truth
from solo_d2.evaluation.mistakes import (
    CLASS,
    KINDS,
    MISSED,
    NOTHING,
    SEVERAL,
    TWICE,
    find_mistakes,
    spanning_share,
)

H, W = 60, 80
LEFT, RIGHT, LOW, CROWD = (5, 5, 25, 25), (26, 5, 46, 25), (5, 40, 25, 55), (50, 30, 80, 60)


def mask_of(*boxes):
    mask = np.zeros((H, W), np.uint8)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = 1
    return mask


def rle(mask):
    encoded = coco_mask.encode(np.asfortranarray(mask))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def result(mask, category=1, score=0.9, image=1):
    return {"image_id": image, "category_id": category, "score": score, "segmentation": rle(mask)}


def truth_of(masks):
    """Annotations of image 1, class 1, given (mask, is crowd); image 2 has none."""
    annotations = [
        {"id": i + 1, "image_id": 1, "category_id": 1, "iscrowd": crowd, "segmentation": rle(mask)}
        | {"area": int(mask.sum()), "bbox": [0, 0, 1, 1]}
        for i, (mask, crowd) in enumerate(masks)
    ]
    images = [{"id": i, "height": H, "width": W, "file_name": f"{i}.png"} for i in (1, 2)]
    categories = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    return index_truth({"images": images, "annotations": annotations, "categories": categories}, "test")


@pytest.fixture
def truth():
    boxes = [(LEFT, 0), (RIGHT, 0), (LOW, 0), (CROWD, 1)]
    return truth_of([(mask_of(box), crowd) for box, crowd in boxes])


RIGHT_RESULTS = [result(mask_of(box)) for box in (LEFT, RIGHT, LOW)]


def kinds(mistakes):
    return [mistake.kind for mistake in mistakes]


def test_right_results_are_no_mistakes(truth):
    assert find_mistakes(truth, RIGHT_RESULTS, 0.5) == []
    assert spanning_share(truth, RIGHT_RESULTS, 0.5) == (0, 3)


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        (result(mask_of((60, 0, 80, 20))), NOTHING),
        (result(mask_of((5, 5, 9, 25)), score=0.7), NOTHING),  # too small a part of an object
        (result(mask_of(LEFT), score=0.8), TWICE),
        (result(mask_of(LEFT, RIGHT)), SEVERAL),
        (result(mask_of((0, 0, 10, 10)), image=2), NOTHING),
    ],
)
def test_one_wrong_result(truth, more, kind):
    (mistake,) = find_mistakes(truth, [*RIGHT_RESULTS, more], 0.5)
    assert (mistake.kind, mistake.weight, mistake.image_id) == (kind, more["score"], more["image_id"])
    assert mistake.segmentation == more["segmentation"]


def test_results_on_a_crowd_and_weak_ones_do_not_count(truth):
    strays = [result(mask_of((55, 35, 70, 50))), result(mask_of((60, 0, 80, 20)), score=0.4)]
    assert find_mistakes(truth, RIGHT_RESULTS + strays, 0.5) == []
    assert kinds(find_mistakes(truth, RIGHT_RESULTS + strays, 0.3)) == [NOTHING]


def test_missed_objects_and_wrong_classes(truth):
    wrong, missed = find_mistakes(truth, [RIGHT_RESULTS[0], result(mask_of(LOW), category=2)], 0.5)[::-1]
    assert (wrong.kind, wrong.category_id, wrong.true_category_id) == (CLASS, 2, 1)
    assert (missed.kind, missed.segmentation) == (MISSED, rle(mask_of(RIGHT)))
    assert missed.weight == pytest.approx(400 / (H * W))


def test_the_order_is_that_of_kinds_then_weight(truth):
    results = [result(mask_of((60, 0, 80, y)), score=score) for y, score in ((9, 0.6), (20, 0.8))]
    found = find_mistakes(truth, results, 0.5)
    assert kinds(found) == [MISSED] * 3 + [NOTHING] * 2
    assert [one.weight for one in found[3:]] == [0.8, 0.6]
    assert kinds(found) == sorted(kinds(found), key=KINDS.index)


def test_half_of_two_objects_is_enough_and_less_is_not(truth):
    half = (16, 5, 36, 25)  # 9 of 20 columns of the left one, and 10 of the right one
    assert spanning_share(truth, [result(mask_of(half))], 0.5) == (0, 1)
    assert spanning_share(truth, [result(mask_of((15, 5, 36, 25)))], 0.5) == (1, 1)


@pytest.mark.parametrize("seed", range(3))
def test_the_share_is_that_of_counting_pixels(seed):
    random = np.random.default_rng(seed)

    def box():
        x, y = random.integers(0, W - 20), random.integers(0, H - 20)
        return mask_of((x, y, x + random.integers(5, 40), y + random.integers(5, 40)))

    things, found = [box() for _ in range(6)], [box() for _ in range(25)]
    scores = random.uniform(0, 1, len(found))
    results = [result(mask, score=float(score)) for mask, score in zip(found, scores, strict=True)]
    expected = 0
    for mask, score in zip(found, scores, strict=True):
        claimed = sum((mask & thing).sum() >= 0.5 * thing.sum() for thing in things)
        expected += bool(score >= 0.3 and claimed >= 2)
    share = spanning_share(truth_of([(thing, 0) for thing in things]), results, 0.3)
    assert share == (expected, int((scores >= 0.3).sum())) and expected > 0


def test_no_results_and_no_objects():
    assert spanning_share(truth_of([]), [], 0.5) == (0, 0)
    assert kinds(find_mistakes(truth_of([]), [result(mask_of(LEFT))], 0.5)) == [NOTHING]
    assert kinds(find_mistakes(truth_of([(mask_of(LEFT), 0)]), [], 0.5)) == [MISSED]
