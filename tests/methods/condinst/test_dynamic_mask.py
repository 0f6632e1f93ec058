"""The batched mask head against one convolution per instance and layer."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from solo_d2.config import get_cfg
from solo_d2.layers import aligned_bilinear
from solo_d2.methods.condinst.mask_head import DynamicMaskHead
from solo_d2.utils.errors import InputError
from solo_d2.utils.settings import build

make_head = partial(
    build, DynamicMaskHead, get_cfg(), "MODEL.CONDINST.MASK_HEAD", in_channels=8, stride=8, upsampling=2
)


def naive(head, features, params, locations, sizes):
    """One instance at a time, its coordinates and features concatenated."""
    batch, _, height, width = features.shape
    images = []
    for b in range(batch):
        masks = []
        for theta, (px, py), size in zip(params[b], locations[b], sizes[b], strict=True):
            y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
            if head.coordinates == "relative":
                offset = head.stride // 2
                coordinates = torch.stack([px - (x * head.stride + offset), py - (y * head.stride + offset)])
                seen = torch.cat([coordinates / size, features[b]])
            elif head.coordinates == "absolute":
                line_x, line_y = torch.linspace(-1, 1, width), torch.linspace(-1, 1, height)
                seen = torch.cat([torch.stack([line_x[x], line_y[y]]), features[b]])
            else:
                seen = features[b]
            start, weights, biases = 0, [], []
            for out, inner in head.layer_shapes:
                weights.append(theta[start : start + out * inner].view(out, inner, 1, 1))
                start += out * inner
            for out, _ in head.layer_shapes:
                biases.append(theta[start : start + out])
                start += out
            assert start == len(theta)
            hidden = seen[None]
            for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
                hidden = F.conv2d(hidden.relu() if i else hidden, weight, bias)
            masks.append(aligned_bilinear(hidden, head.upsampling)[0, 0])
        images.append(torch.stack(masks))
    return torch.stack(images)


def make_inputs(head, count, in_channels, batch=2):
    generator = torch.Generator().manual_seed(count)
    return (
        torch.randn(batch, in_channels, 6, 9, generator=generator),
        torch.randn(batch, count, head.num_params, generator=generator),
        torch.rand(batch, count, 2, generator=generator) * 70,
        torch.tensor([64.0, 128.0, 256.0])[torch.randint(3, (batch, count), generator=generator)],
    )


@pytest.mark.parametrize("num_layers, channels", [(1, 8), (2, 4), (3, 8), (4, 16), (3, 2)])
@pytest.mark.parametrize(
    "coordinates, in_channels", [("relative", 8), ("absolute", 4), ("none", 1), ("relative", 0)]
)
@pytest.mark.parametrize("upsampling", [1, 2, 4])
def test_matches_one_instance_at_a_time(num_layers, channels, coordinates, in_channels, upsampling):
    head = make_head(
        in_channels=in_channels,
        channels=channels,
        num_layers=num_layers,
        coordinates=coordinates,
        upsampling=upsampling,
    )
    inputs = make_inputs(head, 11, in_channels)
    expected = naive(head, *inputs)
    torch.testing.assert_close(head(*inputs), expected, atol=2e-5, rtol=1e-4)
    with torch.no_grad():  # in chunks
        torch.testing.assert_close(head(*inputs), expected, atol=2e-5, rtol=1e-4)


def test_the_papers_head_has_169_numbers():
    assert make_head().num_params == 169


@pytest.mark.parametrize("count", [0, 1, 100])
def test_any_number_of_instances_has_gradients(count):
    head = make_head()
    features, params, locations, sizes = make_inputs(head, count, 8)
    features.requires_grad_()
    params.requires_grad_()
    masks = head(features, params, locations, sizes)
    assert masks.shape == (2, count, 12, 18)
    masks.sum().backward()
    assert features.grad is not None and params.grad is not None
    with torch.no_grad():
        assert head(features, params, locations, sizes).shape == masks.shape


def test_non_contiguous_features():
    head = make_head()
    features, *others = make_inputs(head, 5, 8)
    strange = features.to(memory_format=torch.channels_last)
    torch.testing.assert_close(head(strange, *others), head(features, *others))


def test_mistakes_are_named():
    with pytest.raises(InputError, match="coordinates must be one of relative, absolute, none"):
        make_head(coordinates="polar")
    with pytest.raises(InputError, match="in_channels of at least 1"):
        make_head(in_channels=0, coordinates="none")
