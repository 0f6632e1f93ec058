"""Deformable layers: exact at whole-pixel offsets, zero outside, and their settings.

tests/layers/test_deform_conv.py compares them with a loop at any offset.
"""

import pytest
import torch
import torch.nn.functional as F

from detectron2.layers import DeformConv, ModulatedDeformConv

# The real one has no CPU kernel for the modulated form.
pytestmark = pytest.mark.d2lite_only


@pytest.mark.parametrize(
    "settings",
    [
        {"padding": (1, 1)},
        {"padding": (2, 2), "dilation": 2, "stride": 2, "groups": 2},
        {"padding": (1, 0), "deformable_groups": 2},
    ],
)
@pytest.mark.parametrize("modulated", [False, True])
def test_whole_pixel_offsets_are_a_moved_convolution(settings, modulated):
    layer = (ModulatedDeformConv if modulated else DeformConv)(4, 6, 3, **settings)
    x = torch.randn(2, 4, 9, 10)
    plain = {key: value for key, value in settings.items() if key not in ("padding", "deformable_groups")}
    height, width = settings["padding"]
    moved = F.pad(x, (width - 2, width + 2, height - 1, height + 1))  # taps read one down, two to the right
    factor = 0.5 if modulated else 1.0
    expected = F.conv2d(moved, factor * layer.weight, layer.bias, **plain)
    groups = settings.get("deformable_groups", 1)
    offset = torch.tensor([1.0, 2.0]).repeat(9 * groups)[None, :, None, None]
    offset = offset.expand(2, -1, *expected.shape[-2:])
    mask = torch.full((2, 9 * groups, *expected.shape[-2:]), factor)
    ours = layer(x, offset, mask) if modulated else layer(x, offset)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


def test_outside_is_zero_and_gradients_flow():
    layer = ModulatedDeformConv(4, 6, 3, padding=1, norm=torch.nn.BatchNorm2d(6), activation=F.relu)
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias", "norm.weight", "norm.bias"]
    x, offset = torch.randn(1, 4, 5, 5, requires_grad=True), torch.zeros(1, 18, 5, 5, requires_grad=True)
    layer(x, offset, torch.rand(1, 9, 5, 5)).sum().backward()
    assert x.grad is not None and offset.grad is not None and layer.weight.grad is not None
    far = layer.eval()(x, offset + 1e4, torch.rand(1, 9, 5, 5))
    torch.testing.assert_close(far, layer.norm(layer.bias[None, :, None, None].expand_as(far)).relu())


def test_plain_form_has_no_bias():
    assert DeformConv(2, 2, 3).bias is None
    with pytest.raises(AssertionError):
        DeformConv(2, 2, 3, bias=True)
