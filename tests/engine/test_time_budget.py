import json
from functools import partial
from pathlib import Path

import pytest
import torch

from solo_d2.config.loading import load_config
from solo_d2.engine import run, time_budget
from solo_d2.engine.run_config import build_cfg, build_parser, read_cfg
from solo_d2.engine.time_budget import fit_to_budget, scale_schedule, time_steps
from solo_d2.engine.train_step import TrainStep
from solo_d2.engine.trainer import Trainer
from solo_d2.utils.errors import InputError


class Clock:
    """A clock that only ``advance`` moves."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


def slow_steps(monkeypatch, clock, seconds):
    """Makes every training step take so long on the clock."""
    step = TrainStep.run_step

    def timed(self):
        step(self)
        clock.advance(seconds)

    monkeypatch.setattr(TrainStep, "run_step", timed)


@pytest.mark.parametrize(("seconds", "count"), [(0, 3), (20, 10), (1000, 20)])
def test_the_first_steps_do_not_count(seconds, count):
    clock, durations = Clock(), iter([50.0, 9.0, *[2.0] * count])
    assert time_steps(lambda: clock.advance(next(durations)), seconds, clock) == 2.0
    assert not list(durations)


def test_the_schedule_fits_the_budget(tiny_cfg, monkeypatch):
    """Five steps of 3 s leave 45 s, of which 5% stay free: 14 more."""
    tiny_cfg.SOLVER.MAX_MINUTES = 1
    tiny_cfg.SOLVER.MAX_ITER, tiny_cfg.SOLVER.STEPS, tiny_cfg.SOLVER.WARMUP_ITERS = 28, (14, 20), 8
    clock = Clock()
    slow_steps(monkeypatch, clock, 3.0)
    fitted = fit_to_budget(tiny_cfg, False, clock)
    solver = fitted.SOLVER
    assert (solver.MAX_ITER, tuple(solver.STEPS), solver.WARMUP_ITERS) == (14, (7, 10), 4)
    assert load_config(str(Path(tiny_cfg.OUTPUT_DIR, "config.yaml"))).SOLVER == solver
    assert tiny_cfg.SOLVER.MAX_ITER == 28


def test_the_command_trains_within_the_budget_and_evaluates(tiny_cfg, monkeypatch):
    tiny_cfg.SOLVER.MAX_MINUTES = 1
    clock = Clock()
    slow_steps(monkeypatch, clock, 3.0)
    monkeypatch.setattr(run, "fit_to_budget", partial(fit_to_budget, clock=clock))
    assert run.train(tiny_cfg, False)["segm"]["AP"] > 90
    assert clock.now - 1000 == (5 + 14) * 3 <= 60


def test_a_longer_schedule_has_the_same_warm_up(tiny_cfg):
    tiny_cfg.SOLVER.STEPS, tiny_cfg.SOLVER.WARMUP_ITERS = (4, 5), 3
    solver = scale_schedule(tiny_cfg, 60).SOLVER
    assert (solver.MAX_ITER, tuple(solver.STEPS), solver.WARMUP_ITERS) == (60, (40, 50), 3)


def test_resuming_keeps_the_decision(tiny_cfg, monkeypatch):
    tiny_cfg.SOLVER.MAX_MINUTES = 1
    clock = Clock()
    slow_steps(monkeypatch, clock, 3.0)
    fit_to_budget(tiny_cfg, False, clock)
    before = clock.now
    tiny_cfg.SOLVER.MAX_MINUTES = 30
    assert fit_to_budget(tiny_cfg, True, clock).SOLVER.MAX_ITER == 14
    assert clock.now == before  # nothing was measured again


def test_weights_are_those_of_the_same_schedule_without_a_budget(tiny_cfg, monkeypatch, tmp_path):
    tiny_cfg.SOLVER.MAX_MINUTES = 1
    clock = Clock()
    slow_steps(monkeypatch, clock, 3.0)
    budgeted = fit_to_budget(tiny_cfg, False, clock)
    plain = tiny_cfg.clone()
    plain.SOLVER.MAX_ITER, plain.OUTPUT_DIR = budgeted.SOLVER.MAX_ITER, str(tmp_path / "plain")
    first = Trainer(budgeted)
    time_budget.seed_all_rng(plain.SEED)
    second = Trainer(plain)
    for trainer in (first, second):
        trainer.train()
    for one, other in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_without_a_budget_nothing_is_measured(tiny_cfg):
    assert fit_to_budget(tiny_cfg, False, None) is tiny_cfg


def test_a_budget_that_no_step_fits_into(tiny_cfg, monkeypatch):
    tiny_cfg.SOLVER.MAX_MINUTES = 1
    clock = Clock()
    slow_steps(monkeypatch, clock, 40.0)
    with pytest.raises(InputError, match=r"--minutes\) 1: a step takes 40 s, so that none fits"):
        fit_to_budget(tiny_cfg, False, clock)
    assert not Path(tiny_cfg.OUTPUT_DIR, "time_budget.json").exists()


@pytest.mark.parametrize("content", ["[]", "{}", '{"max_iter": 0}', '{"max_iter": "9"}'])
def test_a_damaged_record(tiny_cfg, content):
    tiny_cfg.SOLVER.MAX_MINUTES = 1
    path = Path(tiny_cfg.OUTPUT_DIR, "time_budget.json")
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(InputError, match=r"time_budget\.json is damaged"):
        fit_to_budget(tiny_cfg, True)


def test_a_run_without_a_budget_is_not_resumed_with_one(tiny_cfg):
    tiny_cfg.SOLVER.MAX_MINUTES = 1
    Path(tiny_cfg.OUTPUT_DIR).mkdir(parents=True)
    Path(tiny_cfg.OUTPUT_DIR, "last_checkpoint").write_text("resume_0000001.pth")
    with pytest.raises(InputError, match="had no time budget"):
        fit_to_budget(tiny_cfg, True)


def test_the_flag_sets_the_key_and_a_pair_overrides_it():
    parser = build_parser()
    assert read_cfg(parser.parse_args(["--minutes", "30"])).SOLVER.MAX_MINUTES == 30
    pair = ["--minutes", "30", "SOLVER.MAX_MINUTES", "7"]
    assert read_cfg(parser.parse_args(pair)).SOLVER.MAX_MINUTES == 7
    with pytest.raises(InputError, match="--minutes: 0: it must be at least 1"):
        parser.parse_args(["--minutes", "0"])
    with pytest.raises(InputError, match=r"SOLVER\.MAX_MINUTES -1: it must be at least 0"):
        build_cfg(parser.parse_args(["SOLVER.MAX_MINUTES", "-1"]))


def test_the_record_is_what_resuming_needs(tiny_cfg, monkeypatch):
    tiny_cfg.SOLVER.MAX_MINUTES = 1
    clock = Clock()
    slow_steps(monkeypatch, clock, 3.0)
    fit_to_budget(tiny_cfg, False, clock)
    assert json.loads(Path(tiny_cfg.OUTPUT_DIR, "time_budget.json").read_text()) == {"max_iter": 14}
