"""ResNets: shapes, freezing, and what configs may ask for."""

import pytest
import torch
from torch import nn

from detectron2.config import get_cfg
from detectron2.layers import FrozenBatchNorm2d
from detectron2.modeling import build_backbone
from detectron2.modeling.backbone.resnet import (
    BasicBlock,
    BasicStem,
    BottleneckBlock,
    DeformBottleneckBlock,
    ResNet,
)


def build(**resnets):
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.FREEZE_AT = resnets.pop("FREEZE_AT", 0)
    cfg.MODEL.RESNETS.OUT_FEATURES = ["stem", "res3", "res5"]
    for key, value in resnets.items():
        cfg.MODEL.RESNETS[key] = value
    return build_backbone(cfg)


@pytest.mark.parametrize(
    "resnets, channels, strides",
    [
        ({"DEPTH": 18, "RES2_OUT_CHANNELS": 64}, (64, 128, 512), (4, 8, 32)),
        ({"DEPTH": 50}, (64, 512, 2048), (4, 8, 32)),
        ({"DEPTH": 50, "RES5_DILATION": 2, "NORM": "GN"}, (64, 512, 2048), (4, 8, 16)),
        ({"DEPTH": 50, "STEM_OUT_CHANNELS": 32, "NORM": ""}, (32, 512, 2048), (4, 8, 32)),
    ],
)
def test_shapes(resnets, channels, strides):
    model = build(**resnets).eval()
    shapes = model.output_shape()
    assert [(s.channels, s.stride) for s in shapes.values()] == list(zip(channels, strides, strict=True))
    with torch.no_grad():
        outputs = model(torch.randn(2, 3, 64, 96))
    for (name, out), channel, stride in zip(outputs.items(), channels, strides, strict=True):
        assert out.shape == (2, channel, 64 // stride, 96 // stride), name
    with pytest.raises(AssertionError, match=r"\(N, C, H, W\)"):
        model(torch.zeros(3, 64, 96))


@pytest.mark.parametrize("freeze_at, frozen", [(0, 0), (1, 1), (3, 3), (5, 5)])
def test_freeze(freeze_at, frozen):
    model = build(DEPTH=18, RES2_OUT_CHANNELS=64, NORM="BN", FREEZE_AT=freeze_at)
    parts = [model.stem, model.res2, model.res3, model.res4, model.res5]
    for index, part in enumerate(parts):
        is_frozen = index < frozen
        assert all(p.requires_grad is not is_frozen for p in part.parameters())
        kinds = {type(m) for m in part.modules() if "Norm" in type(m).__name__}
        assert kinds == {FrozenBatchNorm2d if is_frozen else nn.BatchNorm2d}


def test_groups_and_place_of_the_stride():
    block = BottleneckBlock(16, 32, bottleneck_channels=8, stride=2, num_groups=4, dilation=2, norm="")
    assert (block.conv1.stride, block.conv2.stride) == ((1, 1), (2, 2))
    assert block.conv2.groups == 4 and block.conv2.dilation == block.conv2.padding == (2, 2)
    assert block(torch.zeros(1, 16, 9, 8)).shape == (1, 32, 5, 4)
    first = BottleneckBlock(16, 16, bottleneck_channels=8, stride=1, stride_in_1x1=True)
    assert first.shortcut is None and first.conv1.bias is None
    assert BottleneckBlock(16, 32, bottleneck_channels=8, stride=2, stride_in_1x1=True).conv1.stride == (2, 2)


def test_seeded_initialisation_is_msra():
    torch.manual_seed(0)
    block = BottleneckBlock(64, 256, bottleneck_channels=64, norm="FrozenBN")
    for conv in (block.conv1, block.conv2, block.conv3, block.shortcut):
        fan_out = conv.out_channels * conv.kernel_size[0] ** 2
        assert conv.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.03)


def test_make_stage():
    blocks = ResNet.make_stage(
        BasicBlock, 3, in_channels=4, out_channels=8, stride_per_block=[2, 1, 1], norm="BN"
    )
    assert [(b.in_channels, b.stride) for b in blocks] == [(4, 2), (8, 1), (8, 1)]
    with pytest.raises(AssertionError, match="stride_per_block"):
        ResNet.make_stage(BasicBlock, 3, in_channels=4, out_channels=8, stride_per_block=[1])


def test_classifier_and_default_output():
    def stages():
        return [ResNet.make_stage(BasicBlock, 1, in_channels=8, out_channels=8, stride=1, norm="BN")]

    model = ResNet(BasicStem(3, 8), stages(), num_classes=10)
    assert model(torch.zeros(2, 3, 32, 32))["linear"].shape == (2, 10)
    assert list(ResNet(BasicStem(3, 8), stages())(torch.zeros(1, 3, 32, 32))) == ["res2"]
    assert ResNet(BasicStem(3, 8), stages(), out_features=["stem"]).stage_names == ()
    with pytest.raises(AssertionError):
        ResNet(BasicStem(3, 8), stages(), out_features=["res9"])


@pytest.mark.parametrize(
    "resnets, message",
    [
        ({"DEPTH": 18}, "RES2_OUT_CHANNELS"),
        ({"DEPTH": 34, "RES2_OUT_CHANNELS": 64, "NUM_GROUPS": 2}, "NUM_GROUPS"),
        ({"RES5_DILATION": 3}, "3"),
    ],
)
def test_impossible_nets_are_told(resnets, message):
    with pytest.raises(AssertionError, match=message):
        build(**resnets)


@pytest.mark.d2lite_only
@pytest.mark.parametrize("modulated, groups", [(False, 1), (True, 2)])
def test_deformable_stages(modulated, groups):
    chosen = {"DEFORM_ON_PER_STAGE": [False, False, True, True], "DEFORM_MODULATED": modulated}
    model = build(DEPTH=50, NORM="BN", DEFORM_NUM_GROUPS=groups, **chosen).eval()
    kinds = {name: type(getattr(model, name)[0]) for name in ("res3", "res4", "res5")}
    assert kinds == {"res3": BottleneckBlock, "res4": DeformBottleneckBlock, "res5": DeformBottleneckBlock}
    block = model.res4[0]
    assert block.conv2_offset.weight.shape == ((27 if modulated else 18) * groups, 256, 3, 3)
    assert not block.conv2_offset.weight.any() and block.conv2.bias is None
    own = {name for name in block.state_dict() if "offset" not in name}
    plain = BottleneckBlock(512, 1024, bottleneck_channels=256, stride=2, norm="BN")
    assert own == set(plain.state_dict())
    moved = []
    block.conv2 = Recorder(moved)
    block(torch.randn(1, 512, 6, 8))
    offset, *mask = moved
    assert offset.shape == (1, 18 * groups, 3, 4) and not offset.any()
    assert [m.shape for m in mask] == [(1, 9 * groups, 3, 4)] * modulated
    assert all((m == 0.5).all() for m in mask)


class Recorder(nn.Module):
    """Stands for a deformable layer: keeps offsets and factors."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def forward(self, x, *moves):
        self.seen += moves
        return x[:, :, ::2, ::2] if x.shape[-1] > moves[0].shape[-1] else x
