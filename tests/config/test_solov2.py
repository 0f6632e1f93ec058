"""SOLOv2's keys equal the defaults of the code that takes them."""

import inspect
from dataclasses import fields

import pytest

from solo_d2.config import get_cfg
from solo_d2.losses import GridLoss
from solo_d2.modeling.heads import MaskFeatureHead, SOLOv2Head
from solo_d2.postprocessing import GridInference


def test_inference_defaults_agree():
    node = get_cfg().MODEL.SOLOV2
    for field in fields(GridInference):
        if field.name != "mask_stride":
            assert getattr(node, field.name.upper()) == field.default, field.name


def test_loss_defaults_agree():
    node = get_cfg().MODEL.SOLOV2.LOSS
    names = {"category_weight": "FOCAL_WEIGHT", "mask_weight": "DICE_WEIGHT"}
    for field in fields(GridLoss):
        assert getattr(node, names.get(field.name, field.name.upper())) == field.default


@pytest.mark.parametrize(
    "head, names",
    [
        (
            SOLOv2Head,
            {
                "channels": "INSTANCE_CHANNELS",
                "num_convs": "NUM_INSTANCE_CONVS",
                "kernel_channels": "NUM_MASKS",
            },
        ),
        (MaskFeatureHead, {"channels": "MASK_CHANNELS", "out_channels": "NUM_MASKS"}),
    ],
)
def test_head_defaults_agree(head, names):
    node = get_cfg().MODEL.SOLOV2
    parameters = inspect.signature(head).parameters
    for argument, key in {**names, "norm": "NORM"}.items():
        assert parameters[argument].default == getattr(node, key)
