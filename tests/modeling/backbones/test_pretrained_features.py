"""Backbones of other libraries: pyramids of strides 4 to 32 from whatever maps a network has."""

import importlib

import pytest
import torch
from torch import nn

from detectron2.modeling import build_backbone
from solo_d2.config import get_cfg
from solo_d2.modeling.backbones import PretrainedFeatures
from solo_d2.modeling.backbones.pretrained_features import SimplePyramid
from solo_d2.utils.errors import InputError

LEVELS = ["res2", "res3", "res4", "res5"]


class Strided(nn.Module):
    """Patches of the given sizes, a map each."""

    def __init__(self, *strides: int):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 4 + s, s, stride=s) for s in strides)

    def forward(self, x):
        return [conv(x) for conv in self.convs]


def wrap(*strides: int, frozen=()) -> PretrainedFeatures:
    return PretrainedFeatures(Strided(*strides), lambda network, x: network(x), frozen)


def check_levels(backbone, names):
    shapes = backbone.output_shape()
    outputs = backbone(torch.randn(2, 3, 64, 96))
    assert list(outputs) == list(shapes) == names
    for name, x in outputs.items():
        stride = shapes[name].stride
        assert x.shape == (2, shapes[name].channels, 64 // stride, 96 // stride)


def test_a_pyramid_keeps_its_levels():
    check_levels(wrap(2, 4, 8, 16, 32), LEVELS)
    check_levels(wrap(8, 16, 32), LEVELS[1:])


@pytest.mark.parametrize("stride", [14, 16])
def test_maps_of_one_stride_become_a_pyramid(stride):
    backbone = wrap(stride, stride)
    check_levels(backbone, LEVELS)
    sum(x.mean() for x in backbone(torch.randn(1, 3, 32, 32)).values()).backward()
    assert backbone.network.convs[-1].weight.grad is not None


def test_a_patch_of_14_pixels_sees_what_16_were():
    backbone = wrap(14)
    x = torch.zeros(1, 3, 64, 64)
    x[..., 16:32, 32:48] = 1
    response = backbone(x)["res4"][0].sub(backbone(torch.zeros_like(x))["res4"][0]).abs().sum(0)
    assert response.argmax() == 1 * 4 + 2


def test_maps_of_no_use():
    with pytest.raises(InputError, match=r"strides \[2, 112\] cannot make a pyramid"):
        wrap(2, 112)


def test_frozen_stages_by_name():
    backbone = wrap(8, 16, frozen=["convs.0"])
    assert [p.requires_grad for p in backbone.network.parameters()] == [False, False, True, True]
    with pytest.raises(InputError, match="frozen 'layer9' matches no parameter"):
        wrap(8, frozen=["layer9"])


def test_simple_pyramid():
    outputs = SimplePyramid(6)(torch.randn(1, 6, 4, 8))
    assert [tuple(x.shape) for x in outputs.values()] == [
        (1, 6, 4 * k // 4, 8 * k // 4) for k in (16, 8, 4, 2)
    ]


def config(kind: str, name: str, builder: str = "build_{}_fpn_backbone"):
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME = builder.format(kind)
    cfg.MODEL[kind.upper()].NAME = name
    cfg.MODEL.FPN.IN_FEATURES = LEVELS
    cfg.MODEL.FPN.OUT_CHANNELS = 8
    return cfg


@pytest.mark.parametrize(("kind", "package"), [("timm", "timm"), ("hugging_face", "transformers")])
def test_a_missing_package_is_one_line(kind, package, monkeypatch):
    def refuse(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(InputError, match=f"{kind.upper()}.NAME needs the package {package}.*pip install"):
        build_backbone(config(kind, "any"))


def require(package: str):
    """Skips where a package is missing or, as timm next to a CPU torch, cannot be imported."""
    try:
        return importlib.import_module(package)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"{package} cannot be imported: {error}")


@pytest.mark.parametrize(
    "name", ["resnet18", "convnext_atto", "swin_tiny_patch4_window7_224", "vit_tiny_patch16_224"]
)
def test_models_of_timm_step(name):
    require("timm")
    cfg = config("timm", name)
    cfg.MODEL.TIMM.DROP_PATH = 0.1
    backbone = build_backbone(cfg)
    outputs = backbone(torch.randn(2, 3, 64, 96))
    assert [x.shape[-1] for x in outputs.values()] == [24, 12, 6, 3, 2]
    sum(x.square().mean() for x in outputs.values()).backward()
    other = build_backbone(cfg)
    other.load_state_dict(backbone.state_dict())


def test_a_misspelled_model_of_timm():
    require("timm")
    with pytest.raises(InputError, match="timm has no model 'resnet180': did you mean"):
        build_backbone(config("timm", "resnet180"))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("resnet", {"depths": [1, 1, 1, 1]}),
        ("swin", {"depths": [1, 1, 1, 1]}),
        ("dinov2", {"num_hidden_layers": 2, "hidden_size": 48, "num_attention_heads": 3}),
    ],
)
def test_models_of_transformers_step(kind, options, tmp_path):
    transformers = require("transformers")
    transformers.AutoConfig.for_model(kind, **options).save_pretrained(tmp_path)
    backbone = build_backbone(config("hugging_face", str(tmp_path)))
    outputs = backbone(torch.randn(2, 3, 64, 96))
    assert [x.shape[-1] for x in outputs.values()] == [24, 12, 6, 3, 2]
    sum(x.square().mean() for x in outputs.values()).backward()
    backbone.bottom_up.network.save_pretrained(tmp_path)
    cfg = config("hugging_face", str(tmp_path))
    cfg.MODEL.HUGGING_FACE.PRETRAINED = True
    loaded = build_backbone(cfg).bottom_up.network.state_dict()
    for name, value in backbone.bottom_up.network.state_dict().items():
        torch.testing.assert_close(loaded[name], value)


def test_no_such_model_on_this_machine():
    require("transformers")
    with pytest.raises(InputError, match="cannot be loaded as a backbone"):
        build_backbone(config("hugging_face", "./no/such/folder"))
