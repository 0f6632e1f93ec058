"""Convolution blocks: what they contain and how they start."""

import pytest
import torch
from torch import nn

from solo_d2.layers import ConvTower, conv_block


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
