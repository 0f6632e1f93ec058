"""Freezing of blocks."""

import pytest
import torch
from torch import nn

from detectron2.layers import CNNBlockBase, FrozenBatchNorm2d, blocks


class Block(CNNBlockBase):
    def __init__(self):
        super().__init__(3, 8, 2)
        self.conv = nn.Conv2d(3, 8, 3, stride=2)
        self.norm = nn.BatchNorm2d(8)


def test_block_knows_its_shape_and_freezes():
    block = Block()
    assert (block.in_channels, block.out_channels, block.stride) == (3, 8, 2)
    assert block.freeze() is block
    assert not any(parameter.requires_grad for parameter in block.parameters())
    assert isinstance(block.norm, FrozenBatchNorm2d)


@pytest.mark.d2lite_only
@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
@pytest.mark.parametrize("name", ["msra_fill", "xavier_fill"])
@pytest.mark.parametrize("bias", [False, True])
def test_initial_weights_are_those_of_fvcore(name, bias):
    convs = [nn.Conv2d(5, 7, 3, bias=bias) for _ in range(2)]
    weight_init = pytest.importorskip("fvcore.nn.weight_init")
    for conv, fill in zip(convs, (getattr(blocks, name), getattr(weight_init, f"c2_{name}")), strict=True):
        torch.manual_seed(0)
        fill(conv)
    torch.testing.assert_close(convs[0].state_dict(), convs[1].state_dict(), rtol=0, atol=0)
