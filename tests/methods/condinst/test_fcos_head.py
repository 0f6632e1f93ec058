"""The head level by level."""

import pytest
import torch

from solo_d2.config import get_cfg
from solo_d2.methods.condinst.head import FCOSHead
from solo_d2.utils.settings import build


def make_head(**kwargs) -> FCOSHead:
    torch.manual_seed(0)
    settings = {"in_channels": 32, "num_levels": 2, "num_classes": 3} | kwargs
    return build(FCOSHead, get_cfg(), "MODEL.FCOS", **settings)


def make_features(batch: int = 2):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(batch, 32, *size, generator=generator) for size in ((5, 7), (3, 4))]


def test_locations_are_level_by_level_row_by_row():
    head, features = make_head(num_params=11), make_features()
    with torch.no_grad():
        head.scales[1].fill_(3.0)
    predictions = head(features)
    assert predictions.sizes == ((5, 7), (3, 4))
    start = 0
    for level, feature in enumerate(features):
        box_feature, class_feature = head.box_tower(feature), head.class_tower(feature)
        end = start + feature.shape[2] * feature.shape[3]
        distances = (head.scales[level] * head.box_predictor(box_feature)).clamp(min=0)
        for ours, expected in (
            (predictions.class_logits, head.class_predictor(class_feature)),
            (predictions.centerness[..., None], head.centerness_predictor(box_feature)),
            (predictions.distances, distances),
            (predictions.params, head.controller(box_feature)),
        ):
            assert torch.equal(ours[:, start:end].transpose(1, 2), expected.flatten(2))
        start = end
    assert start == predictions.class_logits.shape[1]


def test_initial_foreground_probability():
    predictions = make_head(prior_prob=0.05)(make_features())
    assert abs(float(predictions.class_logits.sigmoid().mean()) - 0.05) < 0.01


@pytest.mark.parametrize("convs", [(4, 4, 0), (0, 0, 4), (1, 2, 3)])
def test_towers_have_biases_beside_their_norms(convs):
    head = make_head(num_cls_convs=convs[0], num_box_convs=convs[1], num_share_convs=convs[2])
    for tower, depth in zip((head.class_tower, head.box_tower, head.shared_tower), convs, strict=True):
        assert len(tower) == depth
        assert all(conv.bias is not None and conv.norm is not None for conv in tower)
    assert head(make_features()).class_logits.shape == (2, 47, 3)


def test_parts_can_be_left_out():
    predictions = make_head(box_on=False)(make_features())
    assert predictions.distances is None and predictions.params.shape == (2, 47, 0)
    assert predictions.image(1).distances is None


def test_one_image():
    predictions = make_head(num_params=4)(make_features())
    one = predictions.image(1)
    assert torch.equal(one.params, predictions.params[1:]) and one.sizes == predictions.sizes
    assert torch.equal(one.distances[0], predictions.distances[1])
