"""Dynamic convolution against torch's own."""

import pytest
import torch
import torch.nn.functional as F

from solo_d2.methods.grid.cell_masks import dynamic_conv, dynamic_conv_batch


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


@pytest.mark.parametrize("count", [0, 1, 6])
def test_larger_kernels_equal_convolution(count):
    features, kernels = (
        torch.randn(8, 5, 7, requires_grad=True),
        torch.randn(count, 8 * 9, requires_grad=True),
    )
    logits = dynamic_conv(features, kernels, kernel_size=3)
    assert logits.shape == (count, 5, 7)
    for kernel, ours in zip(kernels, logits, strict=True):
        expected = F.conv2d(features[None], kernel.view(1, 8, 3, 3), padding=1)[0, 0]
        torch.testing.assert_close(ours, expected)
    logits.sum().backward()
    assert kernels.grad.shape == kernels.shape and features.grad is not None


@pytest.mark.parametrize("images", [[], [1], [0, 0, 2, 2, 2]])
def test_batch_takes_each_kernel_to_its_image(images):
    features, kernels = torch.randn(3, 8, 5, 7), torch.randn(len(images), 8)
    logits = dynamic_conv_batch(features, kernels, torch.tensor(images, dtype=torch.int64))
    assert logits.shape == (len(images), 5, 7)
    for image, kernel, ours in zip(images, kernels, logits, strict=True):
        torch.testing.assert_close(ours, dynamic_conv(features[image], kernel[None])[0])
