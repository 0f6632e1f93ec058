"""Packed crops against the masks they came from."""

import pytest
import torch

from solo_d2.ops import MaskCrops


@pytest.mark.parametrize("size", [(1, 1), (5, 64), (64, 5), (9, 200)])
def test_there_and_back(size):
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(6, *size, generator=generator) < torch.tensor([0, 0.01, 0.1, 0.5, 1, 1]).view(6, 1, 1)
    crops = MaskCrops.from_masks(masks)
    assert len(crops) == 6 and crops.size == size
    assert torch.equal(crops.dense(), masks)
    assert crops.frames[0].tolist() == [0, 0, 0, 0] and crops.frames[5].tolist() == [0, 0, size[1], size[0]]


def test_no_masks():
    crops = MaskCrops.from_masks(torch.zeros(0, 4, 5, dtype=torch.bool))
    assert len(crops) == 0 and crops.dense().shape == (0, 4, 5)


def test_words_are_rows_of_bits():
    masks = torch.zeros(1, 5, 200, dtype=torch.bool)
    masks[0, 2, 10], masks[0, 2, 75], masks[0, 3, 11] = True, True, True
    crops = MaskCrops.from_masks(masks)
    assert crops.frames.tolist() == [[10, 2, 76, 4]]
    assert crops.words.tolist() == [1, 2, 2, 0]
