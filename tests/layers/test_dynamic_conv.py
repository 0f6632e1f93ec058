"""Dynamic convolution against torch's own."""

import pytest
import torch
import torch.nn.functional as F

from solo_d2.layers import dynamic_conv


@pytest.mark.parametrize("count", [0, 1, 6])
def test_equals_convolution_with_those_kernels(count):
    features, kernels = torch.randn(8, 5, 7), torch.randn(count, 8)
    expected = F.conv2d(features[None], kernels[:, :, None, None])[0] if count else torch.zeros(0, 5, 7)
    torch.testing.assert_close(dynamic_conv(features, kernels), expected)


def test_channels_last_features():
    features, kernels = torch.randn(2, 8, 5, 7), torch.randn(3, 8)
    expected = dynamic_conv(features[1], kernels)
    last = features.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(dynamic_conv(last[1], kernels), expected)
