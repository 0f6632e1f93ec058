"""Masks as bitmaps and as polygons."""

import numpy as np
import pytest
import torch

from detectron2.structures import BitMasks, PolygonMasks, polygons_to_bitmask

SQUARE = np.array([1, 1, 5, 1, 5, 4, 1, 4], dtype=float)
TRIANGLE = np.array([0, 0, 4, 0, 4, 4], dtype=float)


def golden_polygons(golden):
    data = golden("detectron2").load("polygons")
    keys = sorted(key for key in data if key.startswith("poly") and key[4].isdigit())
    polygons = [[] for _ in range(len(data["masks"]))]
    for key in keys:
        polygons[int(key[4:].split("_")[0])].append(data[key].numpy())
    return polygons, data


def test_golden_polygons(golden):
    polygons, data = golden_polygons(golden)
    height, width = data["masks"].shape[1:]
    masks = BitMasks.from_polygon_masks(PolygonMasks(polygons), height, width)
    assert torch.equal(masks.tensor, data["masks"])
    assert torch.equal(masks.get_bounding_boxes().tensor, data["boxes"])
    torch.testing.assert_close(PolygonMasks(polygons).get_bounding_boxes().tensor, data["poly_boxes"])


def test_polygons_to_bitmask():
    mask = polygons_to_bitmask([SQUARE], 6, 7)
    assert mask.shape == (6, 7) and mask.dtype == bool and mask.sum() == 12
    both = polygons_to_bitmask([SQUARE, TRIANGLE], 6, 7)
    assert (both >= mask).all() and both.sum() > 12
    assert not polygons_to_bitmask([], 3, 4).any()
    outside = polygons_to_bitmask([SQUARE + 100], 6, 7)
    assert outside.shape == (6, 7) and not outside.any()


def naive_box(mask):
    ys, xs = np.nonzero(mask.numpy())
    return [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] if len(xs) else [0, 0, 0, 0]


def test_bounding_boxes_against_a_loop():
    generator = torch.Generator().manual_seed(0)
    tensor = torch.rand(30, 9, 13, generator=generator) > 0.97
    tensor[4], tensor[5] = False, True
    tensor[6] = False
    tensor[6, 8, 12] = True
    boxes = BitMasks(tensor).get_bounding_boxes()
    assert boxes.tensor.dtype == torch.float32
    assert boxes.tensor.tolist() == [naive_box(mask) for mask in tensor]
    assert len(BitMasks(torch.zeros(0, 3, 4)).get_bounding_boxes()) == 0


def test_bitmasks_construction_and_indexing():
    masks = BitMasks(np.array([[[0, 1], [0, 0]], [[0, 0], [0, 0]]], dtype=np.uint8))
    assert masks.tensor.dtype == torch.bool and tuple(masks.image_size) == (2, 2)
    assert masks.nonempty().tolist() == [True, False]
    assert masks[0].tensor.shape == (1, 2, 2) and len(masks[masks.nonempty()]) == 1
    assert [mask.shape for mask in masks] == [(2, 2), (2, 2)]
    assert len(BitMasks.cat([masks, masks[:1]])) == 3
    assert masks.to("cpu").device == torch.device("cpu")
    assert BitMasks.from_polygon_masks([], 5, 6).tensor.shape == (0, 5, 6)
    with pytest.raises(AssertionError):
        BitMasks(torch.zeros(3, 3))
    with pytest.raises(AssertionError):
        masks[:, 0]


def test_polygon_masks():
    masks = PolygonMasks([[SQUARE], [TRIANGLE, torch.from_numpy(SQUARE)], []])
    assert len(masks) == 3 and masks.nonempty().tolist() == [True, True, False]
    assert masks.get_bounding_boxes().tensor[1].tolist() == [0, 0, 5, 4]
    assert all(polygon.dtype == np.float64 for instance in masks for polygon in instance)
    assert masks.device == torch.device("cpu") and masks.to("cpu") is masks
    assert len(PolygonMasks.cat([masks, masks])) == 6


@pytest.mark.parametrize(
    "item, counts",
    [
        (1, [2]),
        (slice(0, 2), [1, 2]),
        ([2, 0], [0, 1]),
        (torch.tensor([True, False, True]), [1, 0]),
        (torch.tensor([1, 1]), [2, 2]),
        (torch.zeros(3, dtype=torch.bool), []),
    ],
)
def test_polygon_indexing(item, counts):
    masks = PolygonMasks([[SQUARE], [TRIANGLE, SQUARE], []])[item]
    assert [len(instance) for instance in masks] == counts


@pytest.mark.parametrize("polygons", ["text", [SQUARE], [[np.zeros(3)]], [[np.zeros(7)]], [[np.zeros(4)]]])
def test_bad_polygons_are_refused(polygons):
    with pytest.raises(ValueError, match="Cannot create"):
        PolygonMasks(polygons)


def test_polygons_cannot_be_indexed_by_floats():
    with pytest.raises(ValueError, match="Unsupported tensor dtype"):
        PolygonMasks([[SQUARE]])[torch.tensor([0.5])]
