"""SOLO's keys equal the defaults of its heads."""

import inspect

import pytest

from solo_d2.config import get_cfg
from solo_d2.methods.grid.head import GridHead
from solo_d2.methods.solo.head import DecoupledSOLOHead, SOLOHead


@pytest.mark.parametrize("head", [SOLOHead, DecoupledSOLOHead])
def test_head_defaults_agree(head):
    node = get_cfg().MODEL.SOLO
    parameters = {**inspect.signature(GridHead).parameters, **inspect.signature(head).parameters}
    names = {"channels": "INSTANCE_CHANNELS", "num_convs": "NUM_INSTANCE_CONVS"}
    for argument, key in {**names, "num_coord_convs": "NUM_COORD_CONVS"}.items():
        assert parameters[argument].default == getattr(node, key)


def test_light_is_off():
    default = inspect.signature(DecoupledSOLOHead).parameters["light"].default
    assert default is get_cfg().MODEL.SOLO.LIGHT is False
