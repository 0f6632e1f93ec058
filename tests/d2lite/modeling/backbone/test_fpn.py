"""FPN: recorded outputs of Detectron2, shapes and construction."""

import json
import math

import numpy as np
import pytest
import torch

from detectron2.config import get_cfg
from detectron2.modeling import FPN, Backbone, build_backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool, LastLevelP6P7

STAGES = ["res2", "res3", "res4", "res5"]


def fpn_cfg(name="build_resnet_fpn_backbone", overrides=()):
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME = name
    cfg.MODEL.RESNETS.OUT_FEATURES = list(STAGES)
    cfg.MODEL.FPN.IN_FEATURES = list(STAGES)
    cfg.merge_from_list(list(overrides))
    return cfg


def fill_deterministically(model):
    """Sets the weights that the recordings were made with (see golden/README.md)."""
    state = model.state_dict()
    for i, key in enumerate(sorted(state)):
        tensor = state[key]
        if key.endswith("num_batches_tracked"):
            continue
        x = np.cos(np.arange(tensor.numel(), dtype=np.float64) * 0.7311 + i)
        if key.endswith("running_var"):
            x = 1 + 0.3 * x
        elif tensor.dim() == 4:
            x = x * 1.2 * math.sqrt(2 / math.prod(tensor.shape[1:]))
        elif key.endswith("norm.weight"):
            x = 1 + 0.2 * x
        else:
            x = 0.1 * x
        tensor.copy_(torch.from_numpy(x).reshape(tensor.shape))


@pytest.mark.parametrize("case", ["R18", "R34_gn", "R50", "R50_stride3x3", "R101_bn", "X101_32x8d"])
def test_golden_backbone(golden, case):
    with np.load(golden("detectron2").folder / f"backbone_{case}.npz") as data:
        recorded = dict(data)
    overrides = json.loads(str(recorded["overrides"]))
    model = build_backbone(fpn_cfg(overrides=[x for pair in overrides.items() for x in pair]))
    state = model.state_dict()
    assert [f"{k} {tuple(state[k].shape)}" for k in sorted(state)] == recorded["keys"].tolist()
    shapes = [f"{k} {v.channels} {v.stride}" for k, v in model.output_shape().items()]
    assert shapes == recorded["shapes"].tolist()
    assert model.size_divisibility == recorded["size_divisibility"]
    fill_deterministically(model)
    image = 2 * np.cos(np.arange(2 * 3 * 64 * 96, dtype=np.float64) * 0.0137)
    with torch.no_grad():
        outputs = model.eval()(torch.from_numpy(image).float().reshape(2, 3, 64, 96))
    for name, out in outputs.items():
        expected = torch.from_numpy(recorded[name])
        error = (out[:, : expected.shape[1]] - expected).abs().max() / expected.abs().max()
        assert error < 1e-4, (name, error)


class TinyBackbone(Backbone):
    def __init__(self, strides):
        super().__init__()
        self._out_features = [f"s{stride}" for stride in strides]
        self._out_feature_strides = dict(zip(self._out_features, strides, strict=True))
        self._out_feature_channels = dict.fromkeys(self._out_features, 3)

    def forward(self, x):
        return {n: x[:, :, ::s, ::s] for n, s in self._out_feature_strides.items()}


@pytest.mark.parametrize("fuse_type", ["sum", "avg"])
def test_against_a_plain_top_down_pass(fuse_type):
    torch.manual_seed(0)
    model = FPN(TinyBackbone([4, 8]), ["s4", "s8"], 6, fuse_type=fuse_type)
    x = torch.randn(2, 3, 16, 24)
    coarse = model.fpn_lateral3(x[:, :, ::8, ::8])
    up = coarse.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    fine = model.fpn_lateral2(x[:, :, ::4, ::4]) + up
    fine = fine / 2 if fuse_type == "avg" else fine
    out = model(x)
    assert list(out) == ["p2", "p3"]
    torch.testing.assert_close(out["p2"], model.fpn_output2(fine))
    torch.testing.assert_close(out["p3"], model.fpn_output3(coarse))


def test_construction():
    model = FPN(TinyBackbone([16, 32]), ["s16", "s32"], 6, norm="BN", top_block=LastLevelMaxPool())
    assert {k: v.stride for k, v in model.output_shape().items()} == {"p4": 16, "p5": 32, "p6": 64}
    assert model.size_divisibility == 32 and model.padding_constraints == {"square_size": 0}
    assert model.fpn_lateral4.bias is None and model.fpn_lateral4.norm is not None
    assert FPN(TinyBackbone([4]), ["s4"], 6, square_pad=512).padding_constraints == {"square_size": 512}
    with pytest.raises(AssertionError, match="not log2 contiguous"):
        FPN(TinyBackbone([4, 16]), ["s4", "s16"], 6)
    with pytest.raises(AssertionError):
        FPN(TinyBackbone([4, 8]), ["s4", "s8"], 6, fuse_type="max")


def test_p6_p7_come_from_res5():
    overrides = ["MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64,
                 "MODEL.FPN.OUT_CHANNELS", 16, "MODEL.FPN.IN_FEATURES", STAGES[1:]]  # fmt: skip
    model = build_backbone(fpn_cfg("build_retinanet_resnet_fpn_backbone", overrides))
    assert isinstance(model.top_block, LastLevelP6P7)
    with torch.no_grad():
        outputs = model(torch.zeros(1, 3, 128, 128))
    assert [tuple(o.shape) for o in outputs.values()] == [(1, 16, size, size) for size in (16, 8, 4, 2, 1)]
