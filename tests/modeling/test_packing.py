"""Masks packed as they are computed, against all of them at once."""

import pytest
import torch

from solo_d2.modeling import postprocess as packing
from solo_d2.ops import pack_masks


@pytest.mark.parametrize("chunk_bytes", [4 * 5 * 7, 3 * 4 * 5 * 7, 1 << 26])
def test_chunks_change_nothing(monkeypatch, chunk_bytes):
    monkeypatch.setattr(packing, "_CHUNK_BYTES", chunk_bytes)
    masks = torch.rand(8, 5, 7, generator=torch.Generator().manual_seed(0))
    largest = []

    def masks_of(index):
        largest.append(len(index))
        return masks[index]

    found = packing.pack_computed_masks(masks_of, 8, (5, 7), 0.4, masks.device)
    for ours, expected in zip(found, pack_masks(masks, 0.4), strict=True):
        assert torch.equal(ours, expected)
    assert sum(largest) == 8 and max(largest) == min(8, chunk_bytes // (4 * 5 * 7))


def test_none():
    bits, area, soft_sum = packing.pack_computed_masks(
        lambda index: torch.zeros(len(index), 5, 7), 0, (5, 7), 0.5, torch.device("cpu")
    )
    assert bits.shape == (0, 1) and area.shape == soft_sum.shape == (0,)
