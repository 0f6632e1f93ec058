"""The pyramids by name: levels, strides and where p6 comes from."""

import pytest
import torch

from detectron2.modeling import build_backbone
from solo_d2.config import get_cfg
from solo_d2.utils.errors import InputError


def make_cfg(name: str, in_features: list[str], top_levels: int):
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME = name
    cfg.MODEL.RESNETS.DEPTH = 18
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res3", "res4", "res5"]
    cfg.MODEL.FPN.IN_FEATURES = in_features
    cfg.MODEL.FPN.OUT_CHANNELS = 16
    cfg.MODEL.FCOS.TOP_LEVELS = top_levels
    cfg.MODEL.DLA.NORM = "BN"
    return cfg


RESNET = ("build_fcos_resnet_fpn_backbone", ["res3", "res4", "res5"])
DLA34 = ("build_fcos_dla_fpn_backbone", ["level3", "level4", "level5"])


@pytest.mark.parametrize("kind", [RESNET, DLA34])
@pytest.mark.parametrize("top_levels", [0, 2])
def test_levels(kind, top_levels):
    backbone = build_backbone(make_cfg(*kind, top_levels)).eval()
    with torch.no_grad():
        outputs = backbone(torch.zeros(1, 3, 96, 160))
    assert list(outputs) == ["p3", "p4", "p5", "p6", "p7"][: 3 + top_levels]
    for level, x in enumerate(outputs.values(), start=3):
        assert x.shape == (1, 16, -(-96 // 2**level), -(-160 // 2**level))


def test_p6_is_made_from_p5():
    backbone = build_backbone(make_cfg(*RESNET, 2)).eval()
    with torch.no_grad():
        outputs = backbone(torch.randn(1, 3, 64, 64))
        assert torch.equal(outputs["p6"], backbone.top_block.p6(outputs["p5"]))


def test_other_numbers_of_levels_are_refused():
    with pytest.raises(InputError, match="TOP_LEVELS must be 0 or 2"):
        build_backbone(make_cfg(*RESNET, 1))
