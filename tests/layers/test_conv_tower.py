"""Convolution blocks: what they contain and how they start."""

import pytest
import torch
from torch import nn

from solo_d2.layers import ConvTower, DeformConvBlock, append_coordinates, conv_block
from solo_d2.utils.errors import InputError


def test_block_is_convolution_norm_relu():
    block = conv_block(4, 32, "GN")
    assert block.bias is None and isinstance(block.norm, nn.GroupNorm)
    x = torch.randn(2, 4, 5, 7)
    expected = block.norm(nn.functional.conv2d(x, block.weight, padding=1)).relu()
    torch.testing.assert_close(block(x), expected)


def test_block_without_norm_has_a_bias():
    block = conv_block(4, 8, "")
    assert block.bias is not None and block.norm is None
    assert block(torch.randn(1, 4, 3, 3)).min() >= 0


@pytest.mark.parametrize("num_convs", [1, 4])
def test_tower_depth_and_width(num_convs):
    tower = ConvTower(6, 64, num_convs, "GN")
    assert len(tower) == num_convs
    assert tower(torch.randn(1, 6, 5, 4)).shape == (1, 64, 5, 4)
    assert all(0.005 < conv.weight.std() < 0.015 for conv in tower)


@pytest.mark.parametrize("num_coord_convs", [0, 1, 3])
@pytest.mark.parametrize("axes", ["xy", "x"])
def test_first_convolutions_see_coordinates(num_coord_convs, axes):
    tower = ConvTower(6, 32, 4, "GN", num_coord_convs=num_coord_convs, axes=axes)
    extra = [conv.weight.shape[1] - width for conv, width in zip(tower, [6, 32, 32, 32], strict=True)]
    assert extra == [len(axes)] * num_coord_convs + [0] * (4 - num_coord_convs)
    x = torch.randn(2, 6, 5, 4)
    expected = x
    for index, conv in enumerate(tower):
        expected = conv(append_coordinates(expected, axes) if index < num_coord_convs else expected)
    torch.testing.assert_close(tower(x), expected)


@pytest.mark.parametrize("type_dcn", ["DCN", "DCNv2"])
@pytest.mark.parametrize("num_dcn_convs", [1, 3])
def test_last_convolutions_are_deformable(type_dcn, num_dcn_convs):
    tower = ConvTower(6, 32, 3, "GN", num_coord_convs=1, num_dcn_convs=num_dcn_convs, type_dcn=type_dcn)
    kinds = [isinstance(block, DeformConvBlock) for block in tower]
    assert kinds == [False] * (3 - num_dcn_convs) + [True] * num_dcn_convs
    loss = tower(torch.randn(2, 6, 5, 7)).square().sum()
    loss.backward()
    assert all(p.grad is not None for p in tower.parameters())


@pytest.mark.parametrize("type_dcn, factor", [("DCN", 1.0), ("DCNv2", 0.5)])
def test_deformable_block_starts_as_an_ordinary_one(type_dcn, factor):
    """Offsets start at 0 and factors at sigmoid(0)."""
    block = conv_block(4, 32, "GN", type_dcn=type_dcn)
    x = torch.randn(2, 4, 5, 7)
    expected = nn.functional.conv2d(x, block.conv.weight, padding=1)
    torch.testing.assert_close(block(x), block.conv.norm(factor * expected).relu(), atol=1e-4, rtol=1e-4)


def test_unknown_kind_of_deformable_convolution_is_named():
    with pytest.raises(InputError, match="DCN, DCNv2, not 'DCNv3'"):
        conv_block(4, 32, "GN", type_dcn="DCNv3")
