"""Boxes from masks, resizing and the one builder of results."""

import pytest
import torch
import torch.nn.functional as F

from solo_d2.postprocessing import boxes_from_masks, build_instances, empty_instances, instances, resize_masks


def boxes_by_loops(masks):
    boxes = []
    for mask in masks:
        y, x = mask.nonzero(as_tuple=True)
        box = [x.min(), y.min(), x.max() + 1, y.max() + 1] if len(x) else [0, 0, 0, 0]
        boxes.append([float(v) for v in box])
    return torch.tensor(boxes).reshape(-1, 4)


@pytest.mark.parametrize("count", [0, 1, 9])
def test_boxes_equal_loops(count):
    masks = torch.rand(count, 11, 14, generator=torch.Generator().manual_seed(0)) < 0.03
    if count:
        masks[0] = False
    assert torch.equal(boxes_from_masks(masks), boxes_by_loops(masks))


def test_box_of_a_full_mask_is_the_image():
    assert boxes_from_masks(torch.ones(1, 3, 5, dtype=torch.bool)).tolist() == [[0, 0, 5, 3]]


@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize("output_size", [(30, 45), (61, 90), (17, 20)])
def test_resizing_equals_the_two_plain_steps(count, output_size, monkeypatch):
    monkeypatch.setattr(instances, "_CHUNK_BYTES", 4 * 64 * 96 * 2)  # two masks at a time
    soft = torch.rand(count, 16, 24, generator=torch.Generator().manual_seed(0))
    ours = resize_masks(soft, (61, 90), output_size, 4, 0.5)
    if count:
        full = F.interpolate(soft[:, None], size=(64, 96), mode="bilinear")[..., :61, :90]
        expected = F.interpolate(full, size=output_size, mode="bilinear")[:, 0] > 0.5
        assert torch.equal(ours, expected)
    assert ours.shape == (count, *output_size) and ours.dtype == torch.bool


def test_fields_of_full_and_empty_results_agree():
    full = build_instances(
        torch.rand(2, 8, 8),
        torch.tensor([0.9, 0.4]),
        torch.tensor([3, 1]),
        image_size=(30, 32),
        output_size=(60, 64),
        mask_stride=4,
        threshold=0.5,
    )
    empty = empty_instances((60, 64), torch.device("cpu"))
    assert len(full) == 2 and len(empty) == 0
    for name, value in full.get_fields().items():
        other = empty.get(name)
        assert type(other) is type(value)
        if isinstance(value, torch.Tensor):
            assert other.dtype == value.dtype and other.shape[1:] == value.shape[1:]
    assert full.image_size == empty.image_size == (60, 64)
    assert len(torch.cat([full.pred_boxes.tensor, empty.pred_boxes.tensor])) == 2
