"""BiFPN's graph against the same written out, and its shapes."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone
from solo_d2.modeling.backbones import BiFPN


class Stages(Backbone):
    """Pools the image to three stages of different widths."""

    def output_shape(self):
        return {f"res{i}": ShapeSpec(channels=3 * (i - 1), stride=2**i) for i in (3, 4, 5)}

    def forward(self, x):
        return {
            name: F.avg_pool2d(x, shape.stride).repeat(1, shape.channels // 3, 1, 1)
            for name, shape in self.output_shape().items()
        }


def build(**kwargs) -> BiFPN:
    torch.manual_seed(0)
    names = ["res3", "res4", "res5"]
    return BiFPN(bottom_up=Stages(), in_features=names, out_channels=8, norm="", **kwargs)


@pytest.mark.parametrize("top_levels, names", [(2, "34567"), (0, "345")])
def test_shapes(top_levels, names):
    model = build(top_levels=top_levels, num_repeats=2)
    outputs = model(torch.randn(2, 3, 96, 160))
    assert list(outputs) == [f"p{i}" for i in names]
    for name, shape in model.output_shape().items():
        size = (-(-96 // shape.stride), -(-160 // shape.stride))
        assert outputs[name].shape == (2, shape.channels, *size)
        assert shape.stride == 2 ** int(name[1])


def fuse(fusion, *maps):
    weights = fusion.weights.clamp(min=0)
    mean = sum(w * m for w, m in zip(weights, maps, strict=True)) / (weights.sum() + 1e-4)
    return fusion.conv(mean * mean.sigmoid())


def test_one_layer_written_out():
    model = build(top_levels=0, num_repeats=1)
    layer = model.layers[0]
    for fusion in [*layer.top_down, *layer.bottom_up]:
        nn.init.uniform_(fusion.weights, -0.2, 1.0)
    image = torch.randn(1, 3, 64, 64)
    fine, middle, coarse = (
        lateral(x) for lateral, x in zip(layer.laterals, model.bottom_up(image).values(), strict=True)
    )

    def up(x):
        return F.interpolate(x, scale_factor=2, mode="nearest")

    def down(x):
        return F.max_pool2d(x, 3, stride=2, padding=1)

    descended = fuse(layer.top_down[1], middle, up(coarse))
    p3 = fuse(layer.top_down[0], fine, up(descended))
    p4 = fuse(layer.bottom_up[0], middle, descended, down(p3))
    p5 = fuse(layer.bottom_up[1], coarse, down(p4))
    for ours, expected in zip(model(image).values(), (p3, p4, p5), strict=True):
        torch.testing.assert_close(ours, expected)


def test_every_parameter_learns():
    model = build(top_levels=2, num_repeats=2)
    outputs = model(torch.randn(2, 3, 64, 64))
    sum(x.square().mean() for x in outputs.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
