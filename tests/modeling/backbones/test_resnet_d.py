"""ResNet-D: its layers, freezing, odd sizes, and the same features as timm's where that is installed."""

import pytest
import torch

from detectron2.modeling import build_backbone
from solo_d2.checkpoint import to_native
from solo_d2.config import get_cfg
from solo_d2.modeling.backbones.resnet_d import PooledShortcut

STAGES = ["res2", "res3", "res4", "res5"]


def make(depth=18, freeze_at=0, name="build_resnet_d_backbone"):
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME = name
    cfg.MODEL.BACKBONE.FREEZE_AT = freeze_at
    cfg.MODEL.RESNETS.DEPTH = depth
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64 if depth < 50 else 256
    cfg.MODEL.RESNETS.STRIDE_IN_1X1 = False
    cfg.MODEL.RESNETS.NORM = "BN"
    cfg.MODEL.RESNETS.OUT_FEATURES = STAGES
    cfg.MODEL.FPN.IN_FEATURES = STAGES
    cfg.MODEL.FPN.OUT_CHANNELS = 16
    cfg.MODEL.FCOS.TOP_LEVELS = 0
    return build_backbone(cfg)


@pytest.mark.parametrize("depth, channels", [(18, 64), (50, 256)])
def test_layers(depth, channels):
    network = make(depth).eval()
    assert [tuple(conv.weight.shape[:2]) for conv in network.stem.children()] == [(32, 3), (32, 32), (64, 32)]
    pooled = [isinstance(stage[0].shortcut, PooledShortcut) for stage in network.stages]
    assert pooled == [False, True, True, True]
    with torch.no_grad():
        features = network(torch.randn(1, 3, 70, 99))
    sizes = [(18, 25), (9, 13), (5, 7), (3, 4)]
    assert [tuple(features[name].shape[1:]) for name in STAGES] == [
        (channels * 2**i, *size) for i, size in enumerate(sizes)
    ]


def test_pooled_shortcut_averages_before_its_convolution():
    shortcut = make().res3[0].shortcut.eval()
    x = torch.randn(2, 64, 5, 4)
    with torch.no_grad():
        found = shortcut(x)
        for y, rows in enumerate((slice(0, 2), slice(2, 4), slice(4, 5))):
            for z, columns in enumerate((slice(0, 2), slice(2, 4))):
                mean = x[:, :, rows, columns].mean(dim=(2, 3))
                plain = shortcut.norm((mean @ shortcut.weight[:, :, 0, 0].T)[..., None, None])
                torch.testing.assert_close(found[:, :, y, z], plain[..., 0, 0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("freeze_at, trained", [(0, 1 + 4), (1, 4), (3, 2)])
def test_frozen_stages(freeze_at, trained):
    network = make(freeze_at=freeze_at)
    parts = [network.stem, *network.stages]
    assert [any(p.requires_grad for p in part.parameters()) for part in parts] == [False] * (5 - trained) + [
        True
    ] * trained


@pytest.mark.parametrize("name", ["build_resnet_d_fpn_backbone", "build_fcos_resnet_d_fpn_backbone"])
def test_pyramids(name):
    pyramid = make(name=name)
    outputs = pyramid(torch.randn(1, 3, 64, 96))
    assert outputs["p2"].shape == (1, 16, 16, 24) and outputs["p5"].shape == (1, 16, 2, 3)
    sum(x.sum() for x in outputs.values()).backward()
    assert all(p.grad is not None for p in pyramid.parameters())


@pytest.mark.parametrize("depth", [18, 50])
def test_same_features_as_timm(depth):
    timm = pytest.importorskip("timm")
    generator = torch.Generator().manual_seed(0)
    theirs = timm.create_model(f"resnet{depth}d", features_only=True).eval()
    for name, value in theirs.state_dict().items():
        if name.endswith(("running_mean", "running_var", "bn1.bias", "bn2.weight")):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
    ours = make(depth).eval()
    native = to_native(theirs.state_dict())
    assert native.format.name == "resnet-d"
    ours.load_state_dict({name.removeprefix("backbone.bottom_up."): v for name, v in native.weights.items()})
    image = torch.randn(1, 3, 62, 94, generator=generator)
    with torch.no_grad():
        found = ours(image)
        for name, wanted in zip(STAGES, theirs(image)[1:], strict=True):
            torch.testing.assert_close(found[name], wanted, rtol=1e-4, atol=1e-4)
