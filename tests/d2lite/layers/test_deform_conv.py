"""Deformable layers: their parameters, and the refusal to run.

tests/layers/test_deform_conv.py compares the layers that replace them with a loop.
"""

import pytest
import torch

from detectron2.layers import DeformConv, ModulatedDeformConv


@pytest.mark.parametrize("layer, bias", [(DeformConv, False), (ModulatedDeformConv, True)])
def test_parameters_and_settings(layer, bias):
    conv = layer(4, 6, 3, stride=2, padding=(1, 0), groups=2, norm=torch.nn.BatchNorm2d(6))
    names = ["weight", *(["bias"] if bias else []), "norm.weight", "norm.bias"]
    assert [name for name, _ in conv.named_parameters()] == names
    assert conv.weight.shape == (6, 2, 3, 3)
    for setting, value in ((conv.kernel_size, 3), (conv.stride, 2), (conv.dilation, 1)):
        assert setting in (value, (value, value))  # the real ones keep some as they are given
    assert tuple(conv.padding) == (1, 0) and (conv.groups, conv.deformable_groups) == (2, 1)


@pytest.mark.d2lite_only
def test_running_one_says_what_to_use():
    x, offset, mask = torch.zeros(1, 2, 4, 4), torch.zeros(1, 18, 4, 4), torch.zeros(1, 9, 4, 4)
    for layer, arguments in ((DeformConv, (offset,)), (ModulatedDeformConv, (offset, mask))):
        with pytest.raises(NotImplementedError, match="convert_deform_convs"):
            layer(2, 2, 3, padding=1)(x, *arguments)


def test_plain_form_has_no_bias():
    assert DeformConv(2, 2, 3).bias is None
    with pytest.raises(AssertionError):
        DeformConv(2, 2, 3, bias=True)
