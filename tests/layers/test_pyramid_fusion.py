"""Fusion of pyramid levels: sizes, depth, coordinates, and the sum written out."""

import pytest
import torch

from solo_d2.layers import PyramidFusion, append_coordinates


def make(norm="GN"):
    return PyramidFusion(8, 4, 32, norm)


@pytest.mark.parametrize("size", [(32, 32), (64, 96)])
def test_is_the_sum_of_branches_at_the_finest_size(size):
    fusion = make()
    levels = [torch.randn(2, 8, size[0] >> i, size[1] >> i) for i in range(4)]
    inputs = [*levels[:3], append_coordinates(levels[3])]
    expected = torch.zeros(2, 32, *size)
    for branch, x, doublings in zip(fusion.branches, inputs, [0, 1, 2, 3], strict=True):
        for conv in branch.convs:
            x = conv(x)
            if doublings:
                x = torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear")
        expected += x
    torch.testing.assert_close(fusion.fuse(levels), expected)


def test_only_the_deepest_level_has_coordinates():
    branches = make().branches
    assert [branch.convs[0].weight.shape[1] for branch in branches] == [8, 8, 8, 10]
    assert [len(branch.convs) for branch in branches] == [1, 1, 2, 3]


def test_without_normalization_there_are_biases():
    names = dict(make(norm="").named_parameters())
    assert "branches.0.convs.0.bias" in names
    assert not any("norm" in name for name in names)
