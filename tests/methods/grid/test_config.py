"""The keys all grid methods have equal the defaults of the code that takes them."""

import inspect
from dataclasses import fields

import pytest

from solo_d2.config import get_cfg
from solo_d2.methods.grid.head import GridHead
from solo_d2.methods.grid.losses import GridLoss
from solo_d2.methods.grid.postprocess import GridPostprocessor

NODES = ("SOLO", "SOLOV2")


@pytest.mark.parametrize("name", NODES)
def test_inference_defaults_agree(name):
    node = get_cfg().MODEL[name]
    for field in fields(GridPostprocessor):
        if field.name not in ("mask_stride", "with_masks"):
            assert getattr(node, field.name.upper()) == field.default, field.name


@pytest.mark.parametrize("name", NODES)
def test_loss_defaults_agree(name):
    node = get_cfg().MODEL[name].LOSS
    names = {"category_weight": "FOCAL_WEIGHT"}
    for field in fields(GridLoss):
        assert getattr(node, names.get(field.name, field.name.upper())) == field.default
    assert len(fields(GridLoss)) == len(node)


@pytest.mark.parametrize("name", NODES)
def test_tower_defaults_agree(name):
    node = get_cfg().MODEL[name]
    parameters = inspect.signature(GridHead).parameters
    names = {"num_dcn_convs": "NUM_DCN_CONVS", "dcn_type": "TYPE_DCN", "alignment": "CATEGORY_ALIGN"}
    for argument, key in {**names, "norm": "NORM", "prior_prob": "PRIOR_PROB"}.items():
        assert parameters[argument].default == getattr(node, key)


@pytest.mark.parametrize("name", NODES)
def test_levels_have_one_entry_each(name):
    node = get_cfg().MODEL[name]
    lists = (node.INSTANCE_IN_FEATURES, node.FPN_INSTANCE_STRIDES, node.FPN_SCALE_RANGES, node.NUM_GRIDS)
    assert {len(values) for values in lists} == {5}
