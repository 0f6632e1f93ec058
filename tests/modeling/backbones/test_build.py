"""Deformable backbones without a GPU: same parameters as Detectron2's, and it runs."""

import pytest
import torch

from detectron2.modeling import build_backbone
from solo_d2.config import get_cfg
from solo_d2.layers import DeformConv, ModulatedDeformConv
from solo_d2.modeling.meta_architecture import build_any_device_backbone


def make_cfg(modulated, groups=1, num_groups=1):
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME = "build_resnet_fpn_backbone"
    cfg.MODEL.RESNETS.OUT_FEATURES = cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.FPN.OUT_CHANNELS = 16
    cfg.MODEL.RESNETS.DEFORM_ON_PER_STAGE = [False, False, True, True]
    cfg.MODEL.RESNETS.DEFORM_MODULATED = modulated
    cfg.MODEL.RESNETS.DEFORM_NUM_GROUPS = groups
    cfg.MODEL.RESNETS.NUM_GROUPS = num_groups
    cfg.MODEL.RESNETS.WIDTH_PER_GROUP = 64 // num_groups
    return cfg


@pytest.mark.parametrize("modulated, groups, num_groups", [(False, 1, 1), (True, 2, 1), (True, 1, 32)])
def test_it_runs_here_with_detectron2s_parameters(modulated, groups, num_groups):
    cfg = make_cfg(modulated, groups, num_groups)
    backbone = build_any_device_backbone(cfg).eval()
    reference = build_backbone(cfg).state_dict()
    assert {k: v.shape for k, v in backbone.state_dict().items()} == {
        k: v.shape for k, v in reference.items()
    }
    block = backbone.bottom_up.res4[0]
    assert type(block.conv2) is (ModulatedDeformConv if modulated else DeformConv)
    assert block.conv2_offset.weight.shape[0] == (27 if modulated else 18) * groups
    with torch.no_grad():
        outputs = backbone(torch.randn(1, 3, 64, 96))
    assert outputs["p5"].shape == (1, 16, 2, 3) and all(x.isfinite().all() for x in outputs.values())


def test_zero_offsets_equal_an_ordinary_backbone():
    cfg = make_cfg(modulated=False)
    deformable = build_any_device_backbone(cfg).eval()
    cfg.MODEL.RESNETS.DEFORM_ON_PER_STAGE = [False] * 4
    plain = build_any_device_backbone(cfg).eval()
    missing = plain.load_state_dict(deformable.state_dict(), strict=False)
    assert not missing.missing_keys and all("conv2_offset" in k for k in missing.unexpected_keys)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for name, expected in plain(image).items():
            torch.testing.assert_close(deformable(image)[name], expected, atol=1e-3, rtol=1e-3)
