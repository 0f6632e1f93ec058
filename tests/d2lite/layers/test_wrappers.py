"""Conv2d with normalization and activation, and cat."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from detectron2.layers import Conv2d, cat


def test_conv_applies_norm_and_activation_in_order():
    torch.manual_seed(0)
    norm = nn.GroupNorm(2, 4)
    conv = Conv2d(3, 4, 3, padding=1, bias=False, norm=norm, activation=F.relu)
    x = torch.randn(2, 3, 5, 6)
    expected = F.relu(norm(F.conv2d(x, conv.weight, padding=1)))
    torch.testing.assert_close(conv(x), expected)
    assert sorted(conv.state_dict()) == ["norm.bias", "norm.weight", "weight"]


@pytest.mark.parametrize("norm", [None, "GN"])
def test_conv_on_an_empty_batch_has_gradients(norm):
    conv = Conv2d(3, 4, 3, padding=1, norm=nn.GroupNorm(2, 4) if norm else None)
    out = conv(torch.zeros(0, 3, 8, 9))
    assert out.shape == (0, 4, 8, 9)
    out.sum().backward()
    assert conv.weight.grad is not None


def test_cat_does_not_copy_a_single_tensor():
    x, y = torch.ones(2, 3), torch.zeros(1, 3)
    assert cat([x]) is x
    assert cat((x, y)).shape == (3, 3) and cat([x, x], dim=1).shape == (2, 6)
    with pytest.raises(AssertionError):
        cat(x)
