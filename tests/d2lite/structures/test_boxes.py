"""Boxes, BoxMode and the pairwise IoU against a loop."""

import numpy as np
import pytest
import torch

from detectron2.structures import Boxes, BoxMode, pairwise_iou

XYXY, XYWH = BoxMode.XYXY_ABS, BoxMode.XYWH_ABS


def make(*rows):
    return Boxes(torch.tensor(rows, dtype=torch.float32).reshape(-1, 4))


def test_construction_and_empty_forms():
    assert make((1, 2, 3, 4)).tensor.dtype == torch.float32
    for empty in (torch.empty(0), torch.zeros(0, 4), torch.zeros(0, 4, dtype=torch.int64), []):
        assert Boxes(empty).tensor.shape == (0, 4)
    with pytest.raises(AssertionError):
        Boxes(torch.zeros(3))
    assert len(Boxes.cat([])) == 0


def test_area_clip_nonempty():
    boxes = make((-5, 2, 10, 30), (3, 3, 3, 9), (1, 1, 4, 5))
    assert boxes.area().tolist() == [420, 0, 12]
    assert boxes.nonempty().tolist() == [True, False, True]
    assert boxes.nonempty(threshold=3.5).tolist() == [True, False, False]
    boxes.clip((20, 8))  # height, width
    assert boxes.tensor[0].tolist() == [0, 2, 8, 20]


def test_clip_refuses_nan():
    with pytest.raises(AssertionError, match="infinite or NaN"):
        make((0, 0, float("nan"), 1)).clip((5, 5))


def test_indexing_always_gives_boxes():
    boxes = make((0, 0, 1, 1), (0, 0, 2, 2), (0, 0, 3, 3))
    assert boxes[1].tensor.tolist() == [[0, 0, 2, 2]]
    assert boxes[-1].tensor.tolist() == [[0, 0, 3, 3]]
    assert len(boxes[torch.tensor([True, False, True])]) == 2
    assert len(boxes[torch.tensor([2, 0, 0, 1])]) == 4
    assert len(boxes[1:]) == 2 and len(boxes[torch.zeros(3, dtype=torch.bool)]) == 0
    with pytest.raises(AssertionError, match="failed to return a matrix"):
        boxes[0, 1]


def test_clone_to_cat_iter():
    boxes = make((0, 0, 1, 1), (0, 0, 2, 2))
    copy = boxes.clone()
    copy.tensor *= 3
    assert boxes.tensor[0].tolist() == [0, 0, 1, 1]
    assert boxes.to("cpu").device == torch.device("cpu")
    assert len(Boxes.cat([boxes, copy])) == 4
    assert [row.shape for row in boxes] == [(4,), (4,)]


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor])
def test_convert_keeps_type_and_input(kind):
    rows = [1.0, 2.0, 4.0, 6.0]
    box = kind(rows) if kind in (list, tuple) else kind([rows, rows])
    there = BoxMode.convert(box, XYXY, XYWH)
    back = BoxMode.convert(there, XYWH, XYXY)
    assert type(there) is type(box) is type(back)
    assert np.asarray(there).reshape(-1, 4)[0].tolist() == [1, 2, 3, 4]
    assert np.asarray(back).tolist() == np.asarray(box).tolist()
    assert np.asarray(box).reshape(-1, 4)[0].tolist() == rows


def test_convert_edge_cases():
    box = [1, 2, 3, 4]
    assert BoxMode.convert(box, XYXY, XYXY) is box
    assert BoxMode.convert(np.zeros((0, 4)), XYWH, XYXY).shape == (0, 4)
    with pytest.raises(AssertionError):
        BoxMode.convert([1, 2, 3], XYXY, XYWH)
    with pytest.raises((AssertionError, NotImplementedError)):
        BoxMode.convert(box, XYXY, BoxMode.XYXY_REL)


def test_box_mode_values_are_those_of_stored_datasets():
    assert [mode.value for mode in BoxMode] == [0, 1, 2, 3, 4]
    assert BoxMode(1) is XYWH


def naive_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inter = max(width, 0) * max(height, 0)
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return inter / (areas - inter) if inter > 0 else 0.0


def test_pairwise_iou_against_a_loop():
    corners = torch.rand(20, 2, 2, generator=torch.Generator().manual_seed(0)) * 30
    tensor = torch.cat([corners.amin(1), corners.amax(1)], dim=1)
    tensor[3] = tensor[3, :2].repeat(2)  # without area
    first, second = Boxes(tensor), Boxes(tensor[:7])
    expected = torch.tensor([[naive_iou(a, b) for b in second] for a in first])
    torch.testing.assert_close(pairwise_iou(first, second), expected)
    assert pairwise_iou(first, Boxes([])).shape == (20, 0)
