"""Warm-up and multiplication of learning rates."""

import pytest
import torch
from fvcore.common.param_scheduler import ConstantParamScheduler, LinearParamScheduler
from torch import nn

from detectron2.solver import LRMultiplier, WarmupParamScheduler


def make_optimizer(*rates):
    return torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in rates])


def test_linear_warm_up_meets_the_schedule():
    schedule = WarmupParamScheduler(LinearParamScheduler(1.0, 0.0), 0.1, 0.5)
    values = [schedule(where) for where in (0.0, 0.25, 0.5, 0.75)]
    assert values == pytest.approx([0.1, 0.3, 0.5, 0.25])


def test_rescaled_schedule_starts_behind_the_warm_up():
    schedule = WarmupParamScheduler(LinearParamScheduler(1.0, 0.0), 0.1, 0.5, rescale_interval=True)
    assert schedule(0.5) == pytest.approx(1.0) and schedule(0.75) == pytest.approx(0.5)


def test_constant_and_unknown_warm_up():
    schedule = WarmupParamScheduler(ConstantParamScheduler(2.0), 0.1, 0.5, "constant")
    assert [schedule(0.0), schedule(0.49), schedule(0.5)] == pytest.approx([0.2, 0.2, 2.0])
    with pytest.raises(ValueError, match="Unknown warmup method: cubic"):
        WarmupParamScheduler(ConstantParamScheduler(2.0), 0.1, 0.5, "cubic")


def test_every_group_is_multiplied():
    optimizer = make_optimizer(1.0, 0.1)
    scheduler = LRMultiplier(optimizer, LinearParamScheduler(1.0, 0.0), max_iter=4)
    optimizer.step()
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.75, 0.075])
    with pytest.raises(ValueError, match="multiplier"):
        LRMultiplier(optimizer, lambda where: 1.0, max_iter=4)


def test_resume_continues_and_may_change_the_schedule():
    optimizer = make_optimizer(1.0)
    scheduler = LRMultiplier(optimizer, LinearParamScheduler(1.0, 0.0), max_iter=4)
    for _ in range(2):
        optimizer.step()
        scheduler.step()
    state = scheduler.state_dict()
    assert state == {"base_lrs": [1.0], "last_epoch": 2}
    again = make_optimizer(1.0)
    resumed = LRMultiplier(again, LinearParamScheduler(1.0, 0.0), max_iter=8)
    resumed.load_state_dict(state)
    again.step()
    resumed.step()
    assert again.param_groups[0]["lr"] == pytest.approx(1 - 3 / 8)
