"""SOLOv2's keys equal the defaults of the heads that take them."""

import inspect

import pytest

from solo_d2.config import get_cfg
from solo_d2.methods.solov2.head import MaskFeatureHead, SeparateMaskFeatures, SOLOv2Head

MASK_KEYS = {
    "channels": "MASK_CHANNELS",
    "out_channels": "NUM_MASKS",
    "norm": "NORM",
    "coordinates": "MASK_COORDINATES",
}


@pytest.mark.parametrize(
    "head, names",
    [
        (
            SOLOv2Head,
            {
                "channels": "INSTANCE_CHANNELS",
                "num_convs": "NUM_INSTANCE_CONVS",
                "kernel_channels": "NUM_MASKS",
                "coordinates": "KERNEL_COORDINATES",
            },
        ),
        (MaskFeatureHead, MASK_KEYS),
        (SeparateMaskFeatures, MASK_KEYS | {"num_convs": "NUM_MASK_CONVS"}),
    ],
)
def test_head_defaults_agree(head, names):
    node = get_cfg().MODEL.SOLOV2
    parameters = inspect.signature(head).parameters
    for argument, key in names.items():
        assert parameters[argument].default == getattr(node, key)


def test_kernels_are_1x1_and_features_unified():
    node = get_cfg().MODEL.SOLOV2
    assert (node.KERNEL_SIZE, node.MASK_FEATURE, node.USE_DCN_IN_MASK) == (1, "unified", False)
