"""The merged backbone: strides, the sum it is, and its place in the registry."""

import pytest
import torch

from detectron2.layers import ShapeSpec
from detectron2.modeling import build_backbone
from solo_d2.config import get_cfg
from solo_d2.layers import resize
from solo_d2.modeling.backbones import MergedResNet


def build(in_features):
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME = "MergedResNet"
    cfg.MODEL.RESNETS.DEPTH = 18
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.FPN.IN_FEATURES = in_features
    cfg.MODEL.FPN.OUT_CHANNELS = 32
    cfg.MODEL.FPN.NORM = "GN"
    return build_backbone(cfg).eval()


@pytest.mark.parametrize("in_features, stride", [(["res3", "res4", "res5"], 8), (["res4"], 16)])
def test_shape_is_the_finest_stages(in_features, stride):
    backbone = build(in_features)
    assert isinstance(backbone, MergedResNet)
    assert backbone.output_shape() == {"merged": ShapeSpec(channels=32, stride=stride)}
    assert backbone.size_divisibility == (32 if len(in_features) == 3 else 16)
    with torch.no_grad():
        assert backbone(torch.randn(2, 3, 64, 96))["merged"].shape == (2, 32, 64 // stride, 96 // stride)


def test_it_sums_the_laterals():
    backbone = build(["res3", "res4", "res5"])
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        stages = backbone.bottom_up(image)
        maps = [resize(backbone.laterals[f](stages[f]), (8, 12)) for f in ("res3", "res4", "res5")]
        torch.testing.assert_close(backbone(image)["merged"], sum(maps))
