import pytest
import torch
import torch.nn.functional as F

from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling.meta_arch.semantic_seg import SemSegFPNHead


def make_head(**changes):
    shapes = {"p4": ShapeSpec(channels=4, stride=16), "p2": ShapeSpec(channels=4, stride=4)}
    arguments = {"num_classes": 3, "conv_dims": 8, "common_stride": 4, **changes}
    return SemSegFPNHead(shapes, **arguments)


def make_features():
    generator = torch.Generator().manual_seed(0)
    return {
        "p2": torch.randn(2, 4, 8, 12, generator=generator),
        "p4": torch.randn(2, 4, 2, 3, generator=generator),
    }


def test_layers_by_hand():
    head, features = make_head(), make_features()
    x = features["p4"]
    for conv in (head.p4[0], head.p4[2]):
        x = F.interpolate(
            F.relu(F.conv2d(x, conv.weight, conv.bias, padding=1)), scale_factor=2, mode="bilinear"
        )
    x = x + F.relu(F.conv2d(features["p2"], head.p2[0].weight, head.p2[0].bias, padding=1))
    torch.testing.assert_close(head.layers(features), head.predictor(x))
    assert head.in_features == ["p2", "p4"]


def test_modes_and_loss():
    head = make_head(loss_weight=0.5, ignore_value=9)
    logits, losses = head.eval()(make_features())
    assert logits.shape == (2, 3, 32, 48) and losses == {}
    labels = torch.randint(0, 3, (2, 32, 48))
    labels[0] = 9
    nothing, losses = head.train()(make_features(), labels)
    assert nothing is None
    expected = 0.5 * F.cross_entropy(logits, labels, ignore_index=9)
    torch.testing.assert_close(losses["loss_sem_seg"], expected)


def test_from_config_and_names():
    cfg = get_cfg()
    cfg.MODEL.SEM_SEG_HEAD.CONVS_DIM = 32
    shapes = {f"p{i}": ShapeSpec(channels=4, stride=2**i) for i in range(2, 7)}
    head = SemSegFPNHead(cfg, shapes)
    assert head.in_features == ["p2", "p3", "p4", "p5"] and head.ignore_value == 255
    names = set(head.state_dict())
    assert {"p2.0.weight", "p2.0.norm.weight", "p5.4.norm.bias", "predictor.bias"} <= names
    assert not any(name.startswith("p6") or name == "p2.0.bias" for name in names)


def test_without_levels():
    with pytest.raises(ValueError, match="cannot be empty"):
        SemSegFPNHead({}, num_classes=2, conv_dims=4, common_stride=4)
