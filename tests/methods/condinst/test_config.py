"""CondInst's keys equal the defaults of the code that takes them."""

import inspect
from dataclasses import fields

import pytest

from solo_d2.config import get_cfg
from solo_d2.methods.condinst.mask_head import DynamicMaskHead, MaskBranch
from solo_d2.methods.condinst.postprocess import PointPostprocessor
from solo_d2.methods.condinst.targets import PositiveSampler


def test_inference_and_sampling_defaults_agree():
    node = get_cfg().MODEL.CONDINST
    compared = [
        field.name
        for part in (PointPostprocessor, PositiveSampler)
        for field in fields(part)
        if field.name.upper() in node
    ]
    assert len(compared) == 9
    for part in (PointPostprocessor, PositiveSampler):
        for field in fields(part):
            if field.name in compared:
                assert node[field.name.upper()] == field.default, field.name


@pytest.mark.parametrize("part, key", [(MaskBranch, "MASK_BRANCH"), (DynamicMaskHead, "MASK_HEAD")])
def test_head_defaults_agree(part, key):
    node = get_cfg().MODEL.CONDINST[key]
    parameters = inspect.signature(part).parameters
    shared = [name for name in parameters if name.upper() in node]
    assert len(shared) >= 3
    for name in shared:
        assert parameters[name].default == node[name.upper()], name


def test_the_mask_head_sees_the_bottom_branch():
    parameters = inspect.signature(DynamicMaskHead).parameters
    assert parameters["in_channels"].default == get_cfg().MODEL.CONDINST.MASK_BRANCH.OUT_CHANNELS
