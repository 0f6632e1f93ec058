"""Optimizer groups, gradient clipping and recorded learning rates."""

import json

import pytest
import torch
from torch import nn

from detectron2.config import get_cfg
from detectron2.solver import build_lr_scheduler, build_optimizer, get_default_optimizer_params
from detectron2.solver.build import maybe_add_gradient_clipping, reduce_param_groups


def make_model():
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


@pytest.mark.parametrize("case", ["step", "warm_third", "cosine", "const_warm"])
def test_golden_schedules(golden, case):
    recorded = json.loads((golden("detectron2").folder / "lr_schedules.json").read_text())[case]
    cfg = get_cfg()
    cfg.merge_from_list(["SOLVER.MAX_ITER", 100, "SOLVER.BASE_LR", 0.01, "SOLVER.WARMUP_ITERS", 10])
    cfg.merge_from_list([x for key, v in recorded["overrides"].items() for x in (key, v)])
    optimizer = build_optimizer(cfg, make_model())
    scheduler = build_lr_scheduler(cfg, optimizer)
    found = []
    for _ in range(100):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert found == pytest.approx(recorded["lr"], rel=1e-12)
    keys = ("momentum", "weight_decay", "nesterov")
    groups = [
        {**{key: group[key] for key in keys}, "n": len(group["params"])} for group in optimizer.param_groups
    ]
    assert groups == recorded["param_groups"]


def test_fixed_gamma_and_unknown_schedules():
    cfg = get_cfg()
    cfg.SOLVER.LR_SCHEDULER_NAME = "WarmupStepWithFixedGammaLR"
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.WARMUP_ITERS, cfg.SOLVER.BASE_LR = 40, 0, 1.0
    optimizer = build_optimizer(cfg, make_model())
    scheduler = build_lr_scheduler(cfg, optimizer)
    rates = []
    for _ in range(39):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates[::10] == pytest.approx([1, 0.1, 0.01, 0.001])
    cfg.SOLVER.LR_SCHEDULER_NAME = "Nothing"
    with pytest.raises(ValueError, match="Unknown LR scheduler: Nothing"):
        build_lr_scheduler(cfg, optimizer)


def test_steps_behind_the_end_are_ignored_with_a_warning(caplog):
    cfg = get_cfg()
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = 50, (30, 80)
    build_lr_scheduler(cfg, build_optimizer(cfg, make_model()))
    assert "STEPS contains values larger than" in caplog.text


def groups_by_name(model, groups):
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        names[p]: {k: v for k, v in group.items() if k != "params"}
        for group in groups
        for p in group["params"]
    }


def test_groups():
    model = make_model()
    model[0].weight.requires_grad = False
    found = groups_by_name(
        model,
        get_default_optimizer_params(
            model,
            base_lr=0.1,
            weight_decay=1e-4,
            weight_decay_norm=0.0,
            bias_lr_factor=2.0,
            weight_decay_bias=0.5,
        ),
    )
    bias = {"lr": 0.2, "weight_decay": 0.5}  # a norm's bias is a bias
    assert found == {
        "0.bias": bias,
        "1.weight": {"lr": 0.1, "weight_decay": 0.0},
        "1.bias": bias,
    }


def test_defaults_are_left_to_the_optimizer_and_shared_parameters_occur_once():
    layer = nn.Linear(2, 2)
    groups = get_default_optimizer_params(nn.ModuleList([layer, layer]))
    assert len(groups) == 1 and list(groups[0]) == ["params"] and len(groups[0]["params"]) == 2


def test_a_factor_needs_a_learning_rate():
    with pytest.raises(ValueError, match="base_lr"):
        get_default_optimizer_params(make_model(), bias_lr_factor=2.0)


def test_reduce_param_groups_merges_equals_and_lets_the_last_win():
    a, b, c = (nn.Parameter(torch.zeros(1)) for _ in range(3))
    groups = reduce_param_groups(
        [
            {"params": [a, b], "lr": 0.1},
            {"params": [c], "lr": 0.1, "weight_decay": 0.2},
            {"params": [b], "weight_decay": 0.2},
        ]
    )
    sizes = sorted((len(g["params"]), g.get("weight_decay")) for g in groups)
    assert sizes == [(1, None), (2, 0.2)]


def clipping_cfg(clip_type, value):
    cfg = get_cfg()
    cfg.SOLVER.BASE_LR, cfg.SOLVER.MOMENTUM, cfg.SOLVER.WEIGHT_DECAY = 1.0, 0.0, 0.0
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE = clip_type
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE = value
    return cfg


@pytest.mark.parametrize("clip_type, steps", [("value", [1.0, 1.0]), ("norm", [0.6, 0.8])])
def test_clipping_of_each_parameter_by_itself(clip_type, steps):
    model = nn.Linear(2, 1)
    optimizer = build_optimizer(clipping_cfg(clip_type, 1.0), model)
    before = model.weight.detach().clone()
    model.weight.grad, model.bias.grad = torch.tensor([[30.0, 40.0]]), torch.tensor([0.5])
    bias = model.bias.item()
    optimizer.step()
    torch.testing.assert_close(before - model.weight, torch.tensor([steps]), atol=1e-5, rtol=1e-5)
    assert bias - model.bias.item() == pytest.approx(0.5)


def test_clipping_takes_classes_and_instances():
    cfg = clipping_cfg("value", 1.0)
    adam = maybe_add_gradient_clipping(cfg, torch.optim.AdamW)
    assert issubclass(adam, torch.optim.AdamW) and "Clip" in adam.__name__
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))])
    assert isinstance(maybe_add_gradient_clipping(cfg, optimizer), torch.optim.AdamW)
    assert maybe_add_gradient_clipping(get_cfg(), torch.optim.SGD) is torch.optim.SGD
    with pytest.raises(ValueError, match="nothing"):
        build_optimizer(clipping_cfg("nothing", 1.0), nn.Linear(1, 1))
