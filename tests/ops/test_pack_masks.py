"""Packing against a loop over pixels, in every dtype and layout."""

import pytest
import torch

from solo_d2.ops import pack_masks
from solo_d2.ops.pack_masks import reference, unpack_bits
from solo_d2.utils.errors import InputError

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def pack_by_loops(masks, threshold):
    """Python integers, one pixel after the other."""
    words, areas, sums = [], [], []
    for mask in masks:
        values = mask.flatten().tolist()
        inside = [v > threshold if masks.is_floating_point() else v != 0 for v in values]
        row = []
        for start in range(0, len(inside), 64):
            word = sum(1 << bit for bit, one in enumerate(inside[start : start + 64]) if one)
            row.append(word - (1 << 64) if word >= 1 << 63 else word)
        words.append(row)
        areas.append(sum(inside))
        weights = values if masks.is_floating_point() else inside
        sums.append(sum(w for w, one in zip(weights, inside, strict=True) if one))
    return words, areas, sums


@pytest.mark.parametrize("function", [pack_masks, reference])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (8, 8), (5, 13), (16, 24), (33, 70)])
@pytest.mark.parametrize("dtype", [*FLOATS, torch.bool, torch.uint8])
def test_equals_loops(function, size, dtype):
    masks = torch.rand(5, *size, generator=torch.Generator().manual_seed(0))
    masks[3], masks[4] = 0, 1
    masks = masks.to(dtype) if dtype.is_floating_point else (masks * 3).to(torch.uint8).to(dtype)
    bits, area, soft_sum = function(masks, 0.4)
    words, areas, sums = pack_by_loops(masks.float() if dtype.is_floating_point else masks, 0.4)
    assert bits.tolist() == words and bits.dtype == torch.int64
    assert area.tolist() == areas and area.dtype == torch.int64
    assert soft_sum.tolist() == pytest.approx(sums, rel=1e-6) and soft_sum.dtype == torch.float32


@pytest.mark.parametrize("function", [pack_masks, reference])
def test_many_pixels(function):
    masks = torch.rand(3, 210, 411, generator=torch.Generator().manual_seed(1))
    bits, area, soft_sum = function(masks, 0.5)
    inside = masks > 0.5
    assert torch.equal(unpack_bits(bits)[:, : 210 * 411].bool(), inside.flatten(1))
    assert not unpack_bits(bits)[:, 210 * 411 :].any()
    assert torch.equal(area, inside.sum((1, 2)))
    torch.testing.assert_close(soft_sum.double(), (masks * inside).double().sum((1, 2)), rtol=1e-6, atol=0)


def test_only_above_the_threshold_counts_and_nan_does_not():
    values = torch.tensor([0.5, 0.5000001, float("nan"), float("inf"), -1.0, -0.0]).view(1, 2, 3)
    bits, area, soft_sum = pack_masks(values)
    assert bits.tolist() == [[0b1010]] and area.tolist() == [2] and soft_sum.item() == float("inf")


def test_logits_with_a_negative_threshold():
    bits, area, soft_sum = pack_masks(torch.tensor([[[-2.0, -0.5, 3.0]]]), threshold=-1.0)
    assert bits.item() == 0b110 and area.item() == 2 and soft_sum.item() == 2.5


@pytest.mark.parametrize("shape", [(0, 5, 7), (3, 0, 7), (0, 0, 0)])
@pytest.mark.parametrize("function", [pack_masks, reference])
def test_nothing_to_pack(function, shape):
    bits, area, soft_sum = function(torch.rand(shape), 0.5)
    assert bits.shape == (shape[0], -(-shape[1] * shape[2] // 64))
    assert area.tolist() == soft_sum.tolist() == [0] * shape[0]


def test_layout_does_not_matter():
    masks = torch.rand(4, 30, 50)
    expected = pack_masks(masks)
    strided = torch.rand(8, 50, 60).transpose(1, 2)[::2, ::2, :]
    strided.copy_(masks)
    assert not strided.is_contiguous()
    assert all(torch.equal(a, b) for a, b in zip(pack_masks(strided), expected, strict=True))


def test_bad_input_is_named():
    with pytest.raises(InputError, match=r"\(N, H, W\), not \(5, 7\)"):
        pack_masks(torch.rand(5, 7))
    with pytest.raises(InputError, match="not torch.int32"):
        pack_masks(torch.zeros(1, 5, 7, dtype=torch.int32))


@pytest.mark.parametrize("masks", [torch.rand(0, 4, 5), torch.rand(1, 4, 5), torch.rand(7, 9, 31) > 0.5])
def test_opcheck(masks):
    torch.library.opcheck(torch.ops.solo_d2.pack_masks, (masks, 0.5))
