"""Hard, soft, fast and Matrix NMS against loops over pairs."""

import math

import pytest
import torch

from solo_d2.ops import NMS_TYPES, mask_nms, matrix_nms
from solo_d2.utils.errors import InputError


def overlap(masks, labels, i, j):
    union = int((masks[i] | masks[j]).sum())
    same = labels is None or labels[i] == labels[j]
    return int((masks[i] & masks[j]).sum()) / union if same and union else 0.0


def hard_by_loops(masks, labels, scores, kernel, sigma, threshold):
    kept = []
    for i in range(len(masks)):
        if all(overlap(masks, labels, i, k) <= threshold for k in kept):
            kept.append(i)
    return [s if i in kept else 0.0 for i, s in enumerate(scores.tolist())]


def fast_by_loops(masks, labels, scores, kernel, sigma, threshold):
    keep = [all(overlap(masks, labels, i, k) <= threshold for k in range(i)) for i in range(len(masks))]
    return [s if k else 0.0 for s, k in zip(scores.tolist(), keep, strict=True)]


def soft_by_loops(masks, labels, scores, kernel, sigma, threshold):
    current, waiting = scores.double().tolist(), set(range(len(masks)))
    while waiting:
        best = max(sorted(waiting), key=lambda i: current[i])
        waiting.remove(best)
        for j in waiting:
            iou = overlap(masks, labels, best, j)
            if kernel == "gaussian":
                current[j] *= math.exp(-sigma * iou * iou)
            elif iou > threshold:
                current[j] *= 1 - iou
    return current


LOOPS = {"hard": hard_by_loops, "fast": fast_by_loops, "soft": soft_by_loops}


@pytest.mark.parametrize("nms_type", LOOPS)
@pytest.mark.parametrize("kernel", ["gaussian", "linear"])
@pytest.mark.parametrize("n", [0, 1, 2, 25])
def test_equals_loops(random_case, nms_type, kernel, n):
    for num_labels, threshold in ((1, 0.3), (2, 0.5), (None, 0.4)):
        masks, labels, scores = random_case(n, num_labels=num_labels or 1)
        labels = None if num_labels is None else labels
        ours = mask_nms(masks, labels, scores, nms_type, kernel, 2.0, threshold)
        expected = LOOPS[nms_type](masks, labels, scores, kernel, 2.0, threshold)
        assert ours.dtype == scores.dtype
        assert ours.tolist() == pytest.approx(expected, abs=1e-6)


def test_matrix_is_the_operator(random_case):
    masks, labels, scores = random_case(20)
    expected = matrix_nms(masks, labels, scores, "linear", 3.0)
    assert torch.equal(mask_nms(masks, labels, scores, "matrix", "linear", 3.0), expected)


@pytest.mark.parametrize("nms_type", NMS_TYPES)
def test_first_mask_keeps_its_score_and_none_gains(random_case, nms_type):
    masks, labels, scores = random_case(30)
    new = mask_nms(masks, labels, scores, nms_type)
    assert new[0] == scores[0] and (new <= scores).all() and not new.isnan().any()


def test_unknown_names_are_refused(random_case):
    with pytest.raises(InputError, match="matrix, fast, hard, soft, not 'greedy'"):
        mask_nms(*random_case(2), nms_type="greedy")
    with pytest.raises(InputError, match="'gaussian' or 'linear', not 'cosine'"):
        mask_nms(*random_case(2), nms_type="soft", kernel="cosine")
