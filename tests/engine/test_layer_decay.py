import pytest
import torch
from torch import nn

from detectron2.modeling import build_model
from solo_d2.config.loading import load_config
from solo_d2.engine.layer_decay import decay_by_layer, layer_of
from solo_d2.engine.trainer import Trainer
from solo_d2.utils.errors import InputError


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("stem.conv1.weight", "stem"),
        ("res2.0.conv1.weight", "res2.0"),
        ("blocks.3.project.1.bias", "blocks.3"),
        ("body.stages.2.blocks.5.mlp.fc1.weight", "body.stages.2"),
    ],
)
def test_layers_of_backbones(name, layer):
    assert layer_of(name) == layer


class Model(nn.Module):
    """A backbone of a stem and two blocks, a neck and a head."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.bottom_up = nn.Module()
        self.backbone.bottom_up.stem = nn.Linear(2, 2)
        self.backbone.bottom_up.blocks = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
        self.backbone.neck = nn.Linear(2, 2)
        self.head = nn.Linear(2, 2)


def test_rates_fall_toward_the_input():
    model = Model()
    groups = [
        {
            "params": [p for n, p in model.named_parameters() if n.endswith("weight")],
            "lr": 1.0,
            "weight_decay": 0.1,
        },
        {"params": [p for n, p in model.named_parameters() if n.endswith("bias")], "lr": 2.0},
    ]
    split = decay_by_layer(groups, model, 0.5)
    rates = {parameter: group["lr"] for group in split for parameter in group["params"]}
    expected = {"stem": 0.125, "blocks.0": 0.25, "blocks.1": 0.5, "neck": 1.0, "head": 1.0}
    for name, parameter in model.named_parameters():
        factor = next(value for key, value in expected.items() if key in name)
        assert rates[parameter] == factor * (2 if name.endswith("bias") else 1), name
    assert sum(len(group["params"]) for group in split) == len(list(model.parameters()))
    assert [group.get("weight_decay") for group in split] == [0.1] * 4 + [None] * 4


def test_the_config_for_photographs_trains_with_it():
    cfg = load_config("quick/photos", ["MODEL.FPN.OUT_CHANNELS", "32", "SOLVER.LAYER_DECAY", "0.9"])
    model = build_model(cfg)
    optimizer = Trainer.build_optimizer(cfg, model)
    rates = sorted({group["lr"] for group in optimizer.param_groups})
    assert rates[-1] == cfg.SOLVER.BASE_LR and len(rates) > 10
    assert rates[-2] == pytest.approx(0.9 * cfg.SOLVER.BASE_LR)
    stem = next(model.backbone.bottom_up.parameters())
    (own,) = [group for group in optimizer.param_groups if any(one is stem for one in group["params"])]
    assert own["lr"] == rates[0]


def test_mistakes(tiny_cfg):
    with pytest.raises(InputError, match=r"SOLVER\.LAYER_DECAY 1\.5: it must be above 0"):
        decay_by_layer([], Model(), 1.5)
    with pytest.raises(InputError, match=r"the model has no backbone\.bottom_up"):
        decay_by_layer([], nn.Linear(2, 2), 0.5)
    tiny_cfg.SOLVER.LAYER_DECAY = 0.9
    with pytest.raises(InputError, match=r"LAYER_DECAY 0\.9 is for SOLVER\.OPTIMIZER AdamW"):
        Trainer.build_optimizer(tiny_cfg, torch.nn.Linear(2, 2))
