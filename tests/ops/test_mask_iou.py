"""The IoU matrix against set operations on Python integers."""

import pytest
import torch

from solo_d2.ops import mask_iou, pack_masks
from solo_d2.ops.mask_iou import reference
from solo_d2.utils.errors import InputError


def iou_by_loops(masks, labels):
    sets = [set(mask.flatten().nonzero().squeeze(1).tolist()) for mask in masks]
    iou = torch.zeros(len(sets), len(sets))
    for i in range(len(sets)):
        for j in range(i + 1, len(sets)):
            related = labels is None or labels[i] == labels[j]
            if related and sets[i] | sets[j]:
                iou[i, j] = len(sets[i] & sets[j]) / len(sets[i] | sets[j])
    return iou


@pytest.mark.parametrize("function", [mask_iou, reference])
@pytest.mark.parametrize("n", [0, 1, 2, 4, 5, 37])
@pytest.mark.parametrize("num_labels", [None, 1, 3, 100])
def test_equals_loops(function, random_case, n, num_labels):
    masks, labels, _ = random_case(n, num_labels=num_labels or 1)
    labels = None if num_labels is None else labels
    expected = iou_by_loops(masks, labels)
    for given in (masks, masks.to(torch.uint8), masks.float(), pack_masks(masks)[0]):
        torch.testing.assert_close(function(given, labels), expected, rtol=0, atol=1e-7)


def test_labels_of_both_integer_types_and_any_value(random_case):
    masks, labels, _ = random_case(20, num_labels=3)
    expected = mask_iou(masks, labels)
    assert torch.equal(mask_iou(masks, labels.int()), expected)
    assert torch.equal(mask_iou(masks, labels * 10**12 - 7), expected)


def test_bad_input_is_named(random_case):
    masks, labels, _ = random_case(5)
    with pytest.raises(InputError, match=r"not \(5, 221\) torch.bool"):
        mask_iou(masks.flatten(1))
    with pytest.raises(InputError, match=r"labels must be \(5,\)"):
        mask_iou(masks, labels[:3])
    with pytest.raises(InputError, match="int32 or int64, not torch.float32"):
        mask_iou(masks, labels.float())


@pytest.mark.parametrize("n", [0, 1, 7])
def test_opcheck(random_case, n):
    masks, labels, _ = random_case(n)
    torch.library.opcheck(torch.ops.solo_d2.mask_iou, (masks, labels))
