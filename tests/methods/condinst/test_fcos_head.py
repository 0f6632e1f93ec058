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
        ):
            assert torch.equal(ours[:, start:end].transpose(1, 2), expected.flatten(2))
        assert torch.equal(predictions.box_features[level], box_feature)
        start = end
    assert start == predictions.class_logits.shape[1]


def test_control_is_the_controllers_convolution_at_chosen_locations():
    head, features = make_head(num_params=11), make_features()
    index = torch.stack([torch.randperm(47), torch.randperm(47)])
    controlled = head.control(features, index)
    dense = torch.cat([head.controller(feature).flatten(2) for feature in features], dim=2).transpose(1, 2)
    expected = dense.gather(1, index[..., None].expand(-1, -1, 11))
    torch.testing.assert_close(controlled, expected)
    weights = torch.randn_like(expected)
    parameters = [*head.controller.parameters()]
    ours = torch.autograd.grad((controlled * weights).sum(), parameters)
    wanted = torch.autograd.grad((expected * weights).sum(), parameters)
    torch.testing.assert_close(ours, wanted, rtol=1e-5, atol=1e-5)


class TwoLevels(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.head = make_head(num_params=11)

    def forward(self, feature, index):
        return self.head.control([feature, feature[..., ::2, ::2]], index)


def test_control_is_exported_for_any_size():
    model = TwoLevels()
    sides = {2: 2 * torch.export.Dim("half_height", max=64), 3: 2 * torch.export.Dim("half_width", max=64)}
    example = torch.randn(2, 32, 16, 24), torch.randint(0, 480, (2, 7))
    exported = torch.export.export(model, example, dynamic_shapes=(sides, None)).module()
    other = torch.randn(2, 32, 10, 14), torch.randint(0, 175, (2, 7))
    torch.testing.assert_close(exported(*other), model(*other))


def test_without_chosen_locations_the_controller_has_zero_gradients():
    head, features = make_head(num_params=11), make_features()
    head.control(features, torch.zeros(2, 0, dtype=torch.int64)).sum().backward()
    assert not head.controller.weight.grad.any() and not head.controller.bias.grad.any()


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
    assert predictions.distances is None
    assert predictions.image(1).distances is None


def test_one_image():
    predictions = make_head(num_params=4)(make_features())
    one = predictions.image(1)
    assert one.sizes == predictions.sizes
    for ours, both in zip(one.box_features, predictions.box_features, strict=True):
        assert torch.equal(ours, both[1:])
    assert torch.equal(one.distances[0], predictions.distances[1])
