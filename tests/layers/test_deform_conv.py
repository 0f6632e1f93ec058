"""Deformable convolution against a loop, and as a replacement of Detectron2's layers."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from detectron2 import layers
from solo_d2.layers import DeformConv, ModulatedDeformConv, convert_deform_convs, deform_conv2d

SETTINGS = [
    {"stride": 1, "padding": 1, "dilation": 1, "groups": 1, "deformable_groups": 1},
    {"stride": 2, "padding": 1, "dilation": 1, "groups": 2, "deformable_groups": 2},
    {"stride": 1, "padding": 2, "dilation": 2, "groups": 4, "deformable_groups": 1},
    {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "deformable_groups": 4},
]


def read(plane, y, x):
    """Bilinear value of an (H, W) plane, zero outside."""
    top, left = math.floor(y), math.floor(x)
    value = 0.0
    for i, wy in ((top, 1 - (y - top)), (top + 1, y - top)):
        for j, wx in ((left, 1 - (x - left)), (left + 1, x - left)):
            if 0 <= i < plane.shape[0] and 0 <= j < plane.shape[1]:
                value += wy * wx * float(plane[i, j])
    return value


def by_loops(x, offset, weight, mask, bias, stride, padding, dilation, groups, deformable_groups):
    size_out, per_group = len(weight) // groups, weight.shape[1]
    out = torch.zeros(len(x), len(weight), *offset.shape[-2:])
    taps = weight.shape[2] * weight.shape[3]
    for b, o, i, j in torch.cartesian_prod(*(torch.arange(n) for n in out.shape)).tolist():
        total = 0.0 if bias is None else float(bias[o])
        for c in range(per_group):
            channel = o // size_out * per_group + c
            group = channel // (x.shape[1] // deformable_groups)
            for tap in range(taps):
                u, v = divmod(tap, weight.shape[3])
                k = group * taps + tap
                y = i * stride - padding + u * dilation + float(offset[b, 2 * k, i, j])
                z = j * stride - padding + v * dilation + float(offset[b, 2 * k + 1, i, j])
                factor = 1.0 if mask is None else float(mask[b, k, i, j])
                total += float(weight[o, c, u, v]) * factor * read(x[b, channel], y, z)
        out[b, o, i, j] = total
    return out


def make_inputs(deformable_groups, kernel=3, size=(5, 6), out_size=(3, 3), channels=4, groups=1, **_):
    generator = torch.Generator().manual_seed(0)
    taps = kernel * kernel

    def random(*shape):
        return torch.randn(*shape, generator=generator)

    return {
        "x": random(2, channels, *size),
        "offset": 1.5 * random(2, 2 * deformable_groups * taps, *out_size),
        "weight": random(4, channels // groups, kernel, kernel),
        "mask": random(2, deformable_groups * taps, *out_size).sigmoid(),
        "bias": random(4),
    }


def output_size(size, settings, kernel=3):
    reach = settings["dilation"] * (kernel - 1) + 1
    return tuple((n + 2 * settings["padding"] - reach) // settings["stride"] + 1 for n in size)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("modulated", [False, True])
def test_equals_a_loop(settings, modulated):
    inputs = make_inputs(out_size=output_size((5, 6), settings), **settings)
    if not modulated:
        inputs["mask"] = inputs["bias"] = None
    plain = {k: v for k, v in settings.items() if k != "deformable_groups"}
    ours = deform_conv2d(**inputs, **plain)
    torch.testing.assert_close(ours, by_loops(**inputs, **settings), atol=1e-4, rtol=1e-4)


def test_without_offsets_it_is_a_convolution():
    x, weight = torch.randn(1, 3, 9, 11), torch.randn(5, 3, 3, 3)
    ours = deform_conv2d(x, torch.zeros(1, 18, 9, 11), weight, padding=1)
    torch.testing.assert_close(ours, F.conv2d(x, weight, padding=1), atol=1e-4, rtol=1e-4)


def test_far_offsets_read_zeros():
    x, weight = torch.randn(1, 3, 5, 5), torch.randn(2, 3, 3, 3)
    assert not deform_conv2d(x, torch.full((1, 18, 5, 5), 1e4), weight, padding=1).any()


def test_memory_formats_half_precision_and_empty_batches():
    inputs = make_inputs(1, out_size=(5, 6))
    expected = deform_conv2d(**inputs, padding=1)
    last = inputs | {"x": inputs["x"].contiguous(memory_format=torch.channels_last)}
    torch.testing.assert_close(deform_conv2d(**last, padding=1), expected)
    half = {key: value.bfloat16() for key, value in inputs.items()}
    assert deform_conv2d(**half, padding=1).dtype == torch.bfloat16
    none = {k: v[:0] if k in ("x", "offset", "mask") else v for k, v in inputs.items()}
    assert deform_conv2d(**none, padding=1).shape == (0, 4, 5, 6)


def test_gradients_reach_everything():
    inputs = {k: v.double().requires_grad_() for k, v in make_inputs(1, out_size=(5, 6)).items()}
    deform_conv2d(**inputs, padding=1).square().sum().backward()
    assert all(v.grad.abs().sum() > 0 for v in inputs.values())


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        norm = nn.BatchNorm2d(6)
        self.plain = layers.DeformConv(4, 6, 3, padding=1, groups=2, norm=norm, activation=F.relu)
        self.parts = nn.Sequential(layers.ModulatedDeformConv(6, 4, 3, padding=1, deformable_groups=2))
        self.plain.weight.requires_grad_(False)


def test_conversion_keeps_parameters_and_numbers():
    net = Net()
    before = dict(net.named_parameters())
    assert convert_deform_convs(net) is net
    assert {k: id(v) for k, v in net.named_parameters()} == {k: id(v) for k, v in before.items()}
    assert not net.plain.weight.requires_grad and net.parts[0].weight.requires_grad
    assert type(net.plain) is DeformConv and type(net.parts[0]) is ModulatedDeformConv
    assert convert_deform_convs(net).plain is net.plain, "already converted"
    net.eval()
    x, offset = torch.randn(2, 4, 5, 5), torch.randn(2, 18, 5, 5)
    hidden = net.plain(x, offset)
    expected = by_loops(x, offset, net.plain.weight, None, None, 1, 1, 1, 2, 1)
    torch.testing.assert_close(hidden, net.plain.norm(expected).relu(), atol=1e-4, rtol=1e-4)
    out = net.parts[0](hidden, torch.randn(2, 36, 5, 5), torch.rand(2, 18, 5, 5))
    assert out.shape == (2, 4, 5, 5)


@pytest.mark.parametrize("settings", [SETTINGS[0], SETTINGS[2]])
def test_equals_detectron2_where_its_layer_runs_on_a_cpu(settings):
    inputs = make_inputs(out_size=output_size((5, 6), settings), **settings)
    layer = layers.DeformConv(4, 4, 3, **settings)
    try:
        expected = layer(inputs["x"], inputs["offset"])
    except (NotImplementedError, ImportError) as error:
        pytest.skip(f"Detectron2's own layer does not run here: {error}")
    converted = convert_deform_convs(nn.Sequential(layer))[0]
    torch.testing.assert_close(converted(inputs["x"], inputs["offset"]), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("modulated", [False, True])
def test_gpu_kernel_agrees(modulated):
    kind = layers.ModulatedDeformConv if modulated else layers.DeformConv
    layer = convert_deform_convs(nn.Sequential(kind(4, 4, 3, padding=1, bias=False)))[0]
    inputs = make_inputs(1, out_size=(5, 6))
    arguments = [inputs["x"], inputs["offset"], *([inputs["mask"]] if modulated else [])]
    expected = layer(*arguments)
    ours = layer.cuda()(*(a.cuda() for a in arguments))
    torch.testing.assert_close(ours.cpu(), expected, atol=1e-4, rtol=1e-4)
