"""Freezing of blocks."""

from torch import nn

from detectron2.layers import CNNBlockBase, FrozenBatchNorm2d


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
