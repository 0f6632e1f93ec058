"""Boxes from masks, resizing and the one builder of results."""

import pytest
import torch

from solo_d2.modeling import postprocess as instances
from solo_d2.modeling.postprocess import (
    best_of,
    boxes_from_soft_masks,
    build_instances,
)
from solo_d2.ops import restore_masks
from solo_d2.structures import boxes_from_masks


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


def blobs(count, size=(16, 24)):
    """Soft masks with smooth edges somewhere in the map."""
    y, x = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    generator = torch.Generator().manual_seed(3)
    center = torch.rand(count, 2, 1, 1, generator=generator) * torch.tensor(size).view(2, 1, 1)
    radius = 2 + 4 * torch.rand(count, 1, 1, generator=generator)
    distance = ((y - center[:, 0]) ** 2 + (x - center[:, 1]) ** 2).sqrt()
    return torch.sigmoid(2 * (radius - distance))


@pytest.mark.parametrize("count", [0, 1, 40])
@pytest.mark.parametrize("output_size", [(61, 90), (30, 45), (122, 180)])
def test_boxes_without_masks_cover_those_with_them_closely(count, output_size):
    soft = blobs(count)
    exact = restore_masks(soft, 0.5, (61, 90), output_size, 4).boxes
    found = boxes_from_soft_masks(soft, (61, 90), output_size, 4, 0.5)
    assert found.shape == exact.shape and found.dtype == exact.dtype
    assert (found[:, :2] <= exact[:, :2]).all() and (found[:, 2:] >= exact[:, 2:]).all()
    # At most half a mask pixel, whatever the size of the output.
    assert ((found - exact).abs() <= 2 * output_size[0] / 61 + 1).all()


@pytest.mark.parametrize("aligned", [False, True])
def test_boxes_without_masks_of_rectangles_are_exact(aligned):
    soft = torch.zeros(3, 16, 24)
    soft[0, 2:9, 3:20] = 1
    soft[1, :, :] = 0.9
    expected = restore_masks(soft, 0.5, (61, 90), (45, 77), 4, aligned).boxes
    assert torch.equal(boxes_from_soft_masks(soft, (61, 90), (45, 77), 4, 0.5, aligned), expected)
    assert expected[1].tolist() == [0, 0, 77, 45] and expected[2].tolist() == [0, 0, 0, 0]


def test_results_without_masks_have_the_other_fields(monkeypatch):
    monkeypatch.setattr(instances, "restore_masks", None)  # must not be called
    size = torch.Size((60, 64))
    result = build_instances(
        blobs(2), torch.tensor([0.9, 0.4]), torch.tensor([3, 1]),
        image_size=(60, 64), output_size=size, mask_stride=4, threshold=0.5, with_masks=False,
    )  # fmt: skip
    assert set(result.get_fields()) == {"pred_boxes", "scores", "pred_classes"}
    assert result.scores.tolist() == pytest.approx([0.9, 0.4])


def test_the_best_are_enough_and_equal_ones_keep_their_order():
    scores = torch.tensor([0.2, 0.9, 0.5, 0.9, 0.1])
    assert best_of(scores, 0.2, 10).tolist() == [1, 3, 2, 0]
    assert best_of(scores, 0.2, 3).tolist() == [1, 3, 2] and best_of(scores[:0], 0.2, 3).tolist() == []
