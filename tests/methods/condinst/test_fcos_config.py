"""FCOS's keys equal the defaults of the code that takes them."""

import inspect

import pytest

from solo_d2.config import get_cfg
from solo_d2.methods.condinst.head import FCOSHead
from solo_d2.methods.condinst.losses import PointLoss
from solo_d2.methods.condinst.postprocess import PointPostprocessor
from solo_d2.methods.condinst.targets import assign_point_targets
from solo_d2.modeling.backbones import BiFPN

INFERENCE = {
    "score_thr": "INFERENCE_TH_TEST",
    "pre_nms_topk": "PRE_NMS_TOPK_TEST",
    "post_nms_topk": "POST_NMS_TOPK_TEST",
}
NAMES = {
    FCOSHead: {},
    PointLoss: {},
    PointPostprocessor: INFERENCE,
    assign_point_targets: {"radius": "POS_RADIUS"},
}


@pytest.mark.parametrize("target", NAMES)
def test_defaults_agree(target):
    node = get_cfg().MODEL.FCOS
    compared = 0
    for name, parameter in inspect.signature(target).parameters.items():
        key = NAMES[target].get(name, name.upper())
        if parameter.default is not parameter.empty and key in node:
            assert node[key] == parameter.default, key
            compared += 1
    assert compared


def test_bifpn_defaults_agree():
    node = get_cfg().MODEL.BiFPN
    parameters = inspect.signature(BiFPN).parameters
    for name in ("out_channels", "num_repeats", "norm"):
        assert node[name.upper()] == parameters[name].default


def test_lists_have_one_entry_per_level():
    node = get_cfg().MODEL.FCOS
    assert len(node.IN_FEATURES) == len(node.FPN_STRIDES) == len(node.SIZES_OF_INTEREST) + 1
