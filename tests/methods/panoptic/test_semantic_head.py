"""Semantic heads: sizes, what their logits are made of, and Detectron2's head behind the same interface."""

import pytest
import torch
import torch.nn.functional as F

from detectron2.layers import ShapeSpec
from solo_d2.methods.panoptic.head import ConcatSemanticHead, FPNSemanticHead, FusionSemanticHead

NUM_CLASSES = 7


def make_levels(size=(16, 24), channels=8):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, channels, size[0] >> i, size[1] >> i, generator=generator) for i in range(4)]


def make_fpn_head():
    shapes = {f"p{i}": ShapeSpec(channels=8, stride=2**i) for i in (5, 3, 2, 4)}
    return FPNSemanticHead(shapes, num_classes=NUM_CLASSES, conv_dims=32, common_stride=4, norm="GN")


HEADS = {
    "fusion": lambda: FusionSemanticHead(
        in_channels=8, num_classes=NUM_CLASSES, num_levels=4, convs_dim=32, norm="GN"
    ),
    "concat": lambda: ConcatSemanticHead(in_channels=8, num_classes=NUM_CLASSES, num_levels=4),
    "fpn": make_fpn_head,
}


@pytest.mark.parametrize("name", HEADS)
def test_logits_have_the_finest_size_and_reach_every_parameter(name):
    head = HEADS[name]()
    for training in (True, False):
        logits = head.train(training)(make_levels())
        assert logits.shape == (2, NUM_CLASSES, 16, 24)
    logits.square().mean().backward()
    assert all(p.grad is not None for p in head.parameters())


def test_fusion_logits_are_a_linear_map_of_the_fused_feature():
    head = HEADS["fusion"]()
    logits = head(make_levels())
    expected = torch.einsum("ck,bkhw->bchw", head.predictor.weight[:, :, 0, 0], head.fuse(make_levels()))
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


def test_concatenation_by_hand():
    head = HEADS["concat"]()
    levels = make_levels()
    stacked = torch.cat(
        [levels[0], *(F.interpolate(x, size=(16, 24), mode="bilinear") for x in levels[1:])], dim=1
    )
    torch.testing.assert_close(head(levels), F.conv2d(stacked, head.predictor.weight))


def test_fpn_head_is_detectron2s():
    head = make_fpn_head()
    levels = make_levels()
    torch.testing.assert_close(head(levels), head.layers({f"p{i + 2}": x for i, x in enumerate(levels)}))
    assert {"p2.0.weight", "p5.4.norm.bias", "predictor.bias"} <= set(head.state_dict())
