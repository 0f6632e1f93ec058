"""EfficientNet-Lite: shapes, TensorFlow's padding, frozen stages and pyramids."""

import pytest
import torch
import torch.nn.functional as F

from detectron2.layers import FrozenBatchNorm2d
from detectron2.modeling import build_backbone
from solo_d2.config import get_cfg
from solo_d2.modeling.backbones import EfficientNetLite
from solo_d2.modeling.backbones.efficientnet_lite import _Conv, _scale_channels
from solo_d2.utils.errors import InputError


def build(variant: int = 0, **kwargs) -> EfficientNetLite:
    return EfficientNetLite(variant=variant, **{"norm": "BN", "drop_path": 0.0} | kwargs)


@pytest.mark.parametrize(
    ("variant", "blocks", "channels"),
    [
        (0, 16, [24, 40, 112, 320]),
        (1, 21, [24, 40, 112, 320]),
        (2, 21, [24, 48, 120, 352]),
    ],
)
def test_the_published_architectures(variant, blocks, channels):
    network = build(variant).eval()
    assert len(network.blocks) == blocks
    with torch.no_grad():
        outputs = network(torch.zeros(1, 3, 64, 96))
    for (name, spec), width in zip(network.output_shape().items(), channels, strict=True):
        assert spec.channels == width
        assert outputs[name].shape == (1, width, 64 // spec.stride, 96 // spec.stride)


def test_number_of_weights_of_lite0():
    """The published network has 4,652,008; the rest are its head, 320 to 1280 to 1000 classes."""
    weights = sum(p.numel() for p in build(0).parameters())
    assert weights == 4_652_008 - (1280 * 320 + 2 * 1280) - (1280 * 1000 + 1000)


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (5, 1), (5, 2)])
def test_padding_is_tensorflows(kernel, stride):
    """An axis of n pixels gives ceil(n / stride); what that lacks is split, the odd pixel at the end."""
    torch.manual_seed(0)
    conv = _Conv(3, 4, kernel, "BN", stride=stride).eval()
    x = torch.randn(1, 3, 12, 16)
    margins = []
    for n in (16, 12):
        total = max((-(-n // stride) - 1) * stride + kernel - n, 0)
        margins += [total // 2, total - total // 2]
    expected = conv.norm(F.conv2d(F.pad(x, margins), conv.weight, stride=stride))
    torch.testing.assert_close(conv(x), expected)


def test_rounding_of_channels():
    assert [_scale_channels(c, 1.1) for c in (16, 24, 40, 80, 112, 192, 320)] == [
        16,
        24,
        48,
        88,
        120,
        208,
        352,
    ]


def test_frozen_stages():
    network = build(freeze_at=2)
    trained = [name for name, p in network.named_parameters() if p.requires_grad]
    assert trained[0].startswith("blocks.3.")
    assert isinstance(network.stem.norm, FrozenBatchNorm2d)
    assert isinstance(network.blocks[2].project.norm, FrozenBatchNorm2d)
    assert isinstance(network.blocks[3].project.norm, torch.nn.BatchNorm2d)
    assert all(p.requires_grad for p in build(freeze_at=0).parameters())


def test_frozen_norms_keep_their_epsilon():
    torch.manual_seed(0)
    x = torch.randn(1, 3, 32, 32)
    torch.manual_seed(1)
    free = build().eval()
    torch.manual_seed(1)
    frozen = build(freeze_at=5).eval()
    for name, value in free(x).items():
        torch.testing.assert_close(frozen(x)[name], value)


def test_drop_path_skips_blocks_in_training_only():
    torch.manual_seed(0)
    network, x = build(drop_path=0.9), torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        assert not torch.equal(network(x)["res5"], network(x)["res5"])
        network.eval()
        assert torch.equal(network(x)["res5"], network(x)["res5"])


def test_an_unknown_variant():
    with pytest.raises(InputError, match="^variant must be 0 to 4, not 7"):
        build(7)
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.EFFICIENTNET_LITE.VARIANT = "EfficientNetLite", 7
    with pytest.raises(InputError, match="^MODEL.EFFICIENTNET_LITE.VARIANT must be 0 to 4, not 7"):
        build_backbone(cfg)


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("build_efficientnet_lite_fpn_backbone", ["p2", "p3", "p4", "p5", "p6"]),
        ("build_fcos_efficientnet_lite_fpn_backbone", ["p3", "p4", "p5", "p6", "p7"]),
    ],
)
def test_pyramids(name, levels):
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME = name
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]["fcos" in name :]
    cfg.MODEL.FPN.OUT_CHANNELS = 8
    backbone = build_backbone(cfg)
    outputs = backbone(torch.randn(2, 3, 64, 64))
    assert list(outputs) == levels
    sum(x.mean() for x in outputs.values()).backward()
    assert all(p.grad is not None for p in backbone.parameters())
