"""Blockwise NMS against one box at a time."""

import pytest
import torch

from detectron2.structures import Boxes, pairwise_iou
from solo_d2.ops import box_nms


def naive(boxes, labels, threshold):
    overlaps = pairwise_iou(Boxes(boxes), Boxes(boxes)) > threshold
    suppresses = (overlaps & (labels[:, None] == labels[None])).tolist()
    kept = []
    for i in range(len(boxes)):
        if not any(suppresses[j][i] for j in kept):
            kept.append(i)
    return kept


def make_boxes(count, seed=0, spread=60.0):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * spread
    boxes = torch.cat([corner, corner + 5 + 40 * torch.rand(count, 2, generator=generator)], dim=1)
    return boxes, torch.randint(3, (count,), generator=generator)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("count", [0, 1, 2, 100, 700])
def test_matches_one_at_a_time(count, threshold):
    boxes, labels = make_boxes(count)
    expected = naive(boxes, labels, threshold)
    assert box_nms(boxes, labels, threshold).tolist() == expected
    assert box_nms(boxes, labels, threshold, max_kept=10).tolist() == expected[:10]


def test_blocks_do_not_matter():
    boxes, labels = make_boxes(1200, spread=400.0)
    kept = box_nms(boxes, labels, 0.5)
    assert len(kept) > 512 and kept.tolist() == naive(boxes, labels, 0.5)


def test_a_long_chain():
    """Each box overlaps only its neighbors, so every second one stays."""
    x = torch.arange(600.0) * 4
    boxes = torch.stack([x, torch.zeros_like(x), x + 10, torch.ones_like(x)], dim=1)
    kept = box_nms(boxes, torch.zeros(600, dtype=torch.int64), 0.4)
    assert kept.tolist() == list(range(0, 600, 2))


def test_identical_and_empty_boxes():
    boxes = torch.tensor([[0.0, 0, 4, 4]] * 3 + [[2.0, 2, 2, 2]] * 2)
    labels = torch.tensor([0, 0, 1, 0, 0])
    assert box_nms(boxes, labels, 0.5).tolist() == [0, 2, 3, 4]


def test_half_precision_and_strided_input():
    boxes, labels = make_boxes(50)
    strange = torch.stack([boxes, boxes], dim=2)[..., 0]
    assert torch.equal(box_nms(strange, labels, 0.5), box_nms(boxes, labels, 0.5))
    assert len(box_nms(boxes.round().half(), labels, 0.5)) == len(box_nms(boxes.round(), labels, 0.5))
