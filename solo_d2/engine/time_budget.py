"""Training within a number of minutes: the schedule's length is set once, from the speed of a few steps."""

import gc
import logging
import math
import os
import time
from collections.abc import Callable

from detectron2.config import CfgNode
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from detectron2.utils.events import EventStorage
from solo_d2.checkpoint.file_names import LAST_CHECKPOINT
from solo_d2.utils.atomic_file import write_text
from solo_d2.utils.errors import InputError
from solo_d2.utils.json_file import read_json, write_json

from .trainer import Trainer
from .weights import build_checkpointer

logger = logging.getLogger(__name__)

RECORD_NAME = "time_budget.json"
_KEY = "SOLVER.MAX_MINUTES (--minutes)"
_UNTIMED = 2  # steps that start loader processes and reserve memory
_FEWEST, _MOST = 3, 20  # timed steps
_TIMED_SHARE = 0.03  # of the budget, after which no further step is timed
_SPARE = 0.05  # share of the rest that stays free, because later steps may be slower


def fit_to_budget(cfg: CfgNode, resume: bool, clock: Callable[[], float] = time.monotonic) -> CfgNode:
    """Lays a training's schedule out so that its steps end within ``SOLVER.MAX_MINUTES``.

    A few steps of a model that is then thrown away are timed, so that the training itself is the one of a
    fixed ``SOLVER.MAX_ITER``. Their time counts; the statistics of batch norm and the evaluations do not.
    Every process of the job calls this.

    Args:
        cfg: The config.
        resume: Whether an earlier run of ``OUTPUT_DIR`` goes on, whose decision is kept.
        clock: Returns a time in seconds.

    Returns:
        ``cfg`` itself without a budget. Otherwise a frozen copy for this number of processes, which is also
        ``OUTPUT_DIR/config.yaml``; the decision is in ``OUTPUT_DIR/time_budget.json``.

    Raises:
        InputError: The budget is too short for a step, or the run to resume had none.
    """
    minutes = cfg.SOLVER.MAX_MINUTES
    if minutes == 0:
        return cfg
    start = clock()
    cfg = Trainer.auto_scale_workers(cfg, comm.get_world_size())
    path = os.path.join(cfg.OUTPUT_DIR, RECORD_NAME)
    if resume and (os.path.isfile(path) or os.path.isfile(os.path.join(cfg.OUTPUT_DIR, LAST_CHECKPOINT))):
        iterations, told = _recorded(path), f"{path} keeps the decision of the first run"
    else:
        seconds = _measure(cfg, clock)
        rest = 60 * minutes - (_agreed(clock) - start)
        iterations = math.floor((1 - _SPARE) * rest / seconds)
        told = f"a step takes {seconds:.3g} s"
        if iterations < 1:
            raise InputError(f"{_KEY} {minutes}: {told}, so that none fits: give more minutes")
    fitted = scale_schedule(cfg, iterations)
    solver = fitted.SOLVER
    logger.info(
        "SOLVER.MAX_MINUTES %d: %s; SOLVER.MAX_ITER %d, STEPS %s, WARMUP_ITERS %d",
        *(minutes, told, solver.MAX_ITER, tuple(solver.STEPS), solver.WARMUP_ITERS),
    )
    if comm.is_main_process():
        write_json(path, {"max_iter": iterations})
        write_text(os.path.join(cfg.OUTPUT_DIR, "config.yaml"), [fitted.dump()])
    return fitted


def scale_schedule(cfg: CfgNode, iterations: int) -> CfgNode:
    """Returns a frozen copy of a config whose schedule is as long as wanted.

    ``SOLVER.STEPS`` move in proportion, and warm-up becomes shorter, but not longer.
    """
    fitted = cfg.clone()
    fitted.defrost()
    solver, factor = fitted.SOLVER, iterations / cfg.SOLVER.MAX_ITER
    solver.MAX_ITER = iterations
    solver.STEPS = tuple(round(factor * step) for step in solver.STEPS)
    solver.WARMUP_ITERS = round(min(1.0, factor) * solver.WARMUP_ITERS)
    fitted.freeze()
    return fitted


def time_steps(step: Callable[[], None], seconds: float, clock: Callable[[], float]) -> float:
    """Measures the mean duration of a step, the first ones left out.

    Args:
        step: Runs one.
        seconds: Time after which no further step is run; at least three are timed, at most twenty.
        clock: Returns a time in seconds.
    """
    for _ in range(_UNTIMED):
        step()
    start, count = clock(), 0
    while count < _FEWEST or (count < _MOST and clock() - start < seconds):
        step()
        count += 1
    return (clock() - start) / count


def _measure(cfg: CfgNode, clock: Callable[[], float]) -> float:
    """Returns the seconds of a training step; the random state is then that of a new run."""
    seconds = _time_new_model(cfg, clock)
    gc.collect()  # its memory, and its loader processes
    seed_all_rng(None if cfg.SEED < 0 else cfg.SEED + comm.get_rank())
    return seconds


def _time_new_model(cfg: CfgNode, clock: Callable[[], float]) -> float:
    step = Trainer.build_train_step(cfg)
    scheduler = Trainer.build_lr_scheduler(cfg, step.optimizer)
    model = getattr(step.model, "module", step.model)
    build_checkpointer(cfg, model).resume_or_load(cfg.MODEL.WEIGHTS, resume=False)

    def train() -> None:
        step.run_step()
        scheduler.step()

    with EventStorage():
        return time_steps(train, _TIMED_SHARE * 60 * cfg.SOLVER.MAX_MINUTES, lambda: _agreed(clock))


def _agreed(clock: Callable[[], float]) -> float:
    """Returns the main process's time in every process."""
    return comm.all_gather(clock())[0]


def _recorded(path: str) -> int:
    if not os.path.isfile(path):
        raise InputError(f"{_KEY}: the run to resume had no time budget, and goes on without: leave it out")
    record = read_json(path, "record of the time budget")
    iterations = record.get("max_iter") if isinstance(record, dict) else None
    if not isinstance(iterations, int) or iterations < 1:
        raise InputError(f"{path} is damaged: give SOLVER.MAX_ITER instead of {_KEY}; the log has its number")
    return iterations
