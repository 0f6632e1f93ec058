"""DLA-34's shape: levels, trees, parameters, gradients."""

import torch

from detectron2.layers import FrozenBatchNorm2d, ShapeSpec
from solo_d2.config import get_cfg
from solo_d2.modeling.backbones import DLA


def test_levels():
    model = DLA(norm="BN").eval()
    with torch.no_grad():
        outputs = model(torch.zeros(1, 3, 64, 96))
    assert list(outputs) == [f"level{i}" for i in range(6)]
    for name, shape in model.output_shape().items():
        assert outputs[name].shape == (1, shape.channels, 64 // shape.stride, 96 // shape.stride)
    assert model.size_divisibility == 32


def test_is_dla34():
    """15.74 million parameters, of which the classifier that is left out has 513,000 (its paper: 15.8)."""
    model = DLA(norm="BN")
    assert sum(p.numel() for p in model.parameters()) == 15_229_104


def test_every_parameter_learns():
    torch.manual_seed(0)
    model = DLA(norm="BN")
    model(torch.randn(2, 3, 64, 64))["level5"].square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_a_tree_aggregates_what_its_halves_give():
    torch.manual_seed(0)
    tree = DLA(norm="BN").eval().level3
    with torch.no_grad():
        x = torch.randn(1, 64, 16, 16)
        small = torch.nn.functional.max_pool2d(x, 2)
        left, right = tree.first, tree.second
        a = left.first(x, left.project(small))
        b = left.second(a, a)
        first = left.root(torch.cat([b, a], dim=1))
        c = right.first(first, first)
        d = right.second(c, c)
        expected = right.root(torch.cat([d, c, small, first], dim=1))
    torch.testing.assert_close(tree(x), expected)


def test_from_config():
    cfg = get_cfg()
    cfg.MODEL.DLA.NORM = "FrozenBN"
    assert isinstance(DLA(cfg, ShapeSpec(channels=3)).base_layer.norm, FrozenBatchNorm2d)
