"""The weight gradient tap by tap against PyTorch's own."""

import pytest
import torch
from torch import nn

from detectron2.layers import Conv2d
from solo_d2.engine import conv_gradient
from solo_d2.engine.conv_gradient import speed_up_gradients


def make(*, bias: bool = True, **kwargs) -> Conv2d:
    torch.manual_seed(0)
    settings = {"padding": 1, "norm": nn.GroupNorm(2, 6), "activation": torch.relu_} | kwargs
    return Conv2d(5, 6, 3, bias=bias, **settings).to(memory_format=torch.channels_last)


def gradients(conv: nn.Module, x: torch.Tensor) -> list[torch.Tensor | None]:
    y = conv(x)
    (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    return [y.detach(), x.grad, *(parameter.grad for parameter in conv.parameters())]


@pytest.fixture
def always(monkeypatch):
    """Uses the faster gradient for small maps and on all processors."""
    monkeypatch.setattr(conv_gradient, "_MIN_PIXELS", 1)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")


@pytest.mark.parametrize("size", [(7, 9), (1, 1), (1, 8), (30, 2)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("on_input", [True, False])
def test_results_and_gradients_are_pytorchs(always, monkeypatch, size, bias, on_input):
    x = torch.randn(2, 5, *size).contiguous(memory_format=torch.channels_last)
    expected = gradients(make(bias=bias), x.clone().requires_grad_(on_input))
    calls = []
    original = conv_gradient.weight_gradient
    monkeypatch.setattr(conv_gradient, "weight_gradient", lambda *args: calls.append(0) or original(*args))
    conv = make(bias=bias)
    speed_up_gradients(conv)
    ours = gradients(conv, x.clone().requires_grad_(on_input))
    assert len(calls) == 1
    assert conv.weight.grad.stride() == conv.weight.stride()
    for value, reference in zip(ours, expected, strict=True):
        torch.testing.assert_close(value, reference, rtol=1e-4, atol=1e-4)


def test_large_maps_of_one_processor_generation_only(monkeypatch):
    monkeypatch.setattr(
        conv_gradient, "weight_gradient", lambda *args: pytest.fail("the other gradient is faster here")
    )
    conv = make()
    speed_up_gradients(conv)
    x = torch.randn(1, 5, 50, 50)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    gradients(conv, x)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    gradients(conv, x[..., :20])
    with torch.autocast("cpu", torch.bfloat16):
        gradients(conv, x)
    gradients(conv.double(), x.double())
    conv.requires_grad_(False).float()
    gradients(conv, x.requires_grad_())


def test_other_convolutions_stay_as_they_are():
    others = nn.Sequential(
        make(stride=2), make(padding=0), make(dilation=2), make(padding_mode="reflect"), nn.Conv2d(4, 4, 3)
    )
    before = [type(conv) for conv in others]
    speed_up_gradients(others)
    assert [type(conv) for conv in others] == before
