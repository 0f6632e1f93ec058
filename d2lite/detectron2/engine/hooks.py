"""Standard hooks: timing, writing, checkpoints, learning rate, evaluation."""

import datetime
import itertools
import logging
import math
import operator
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fvcore.common.checkpoint import Checkpointer
from fvcore.common.checkpoint import PeriodicCheckpointer as _PeriodicCheckpointer
from fvcore.common.timer import Timer
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler as TorchScheduler

from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm
from detectron2.utils.events import EventStorage, EventWriter

from .train_loop import HookBase


class IterationTimer(HookBase):
    """Records the seconds per iteration as ``time`` and logs a summary at the end.

    Args:
        warmup_iter: First iterations that do not count.
    """

    def __init__(self, warmup_iter: int = 3):
        self._warmup_iter = warmup_iter
        self._step_timer = Timer()
        self._start_time = time.perf_counter()
        self._total_timer = Timer()

    def before_train(self) -> None:
        self._start_time = time.perf_counter()
        self._total_timer.reset()
        self._total_timer.pause()

    def after_train(self) -> None:
        total = time.perf_counter() - self._start_time
        in_steps = self._total_timer.seconds()
        counted = self.trainer.storage.iter + 1 - self.trainer.start_iter - self._warmup_iter
        logger = logging.getLogger(__name__)
        if counted > 0 and in_steps > 0:
            logger.info(
                "Overall training speed: %d iterations in %s (%.4f s / it)",
                counted,
                _hms(in_steps),
                in_steps / counted,
            )
        logger.info("Total training time: %s (%s on hooks)", _hms(total), _hms(total - in_steps))

    def before_step(self) -> None:
        self._step_timer.reset()
        self._total_timer.resume()

    def after_step(self) -> None:
        done = self.trainer.storage.iter - self.trainer.start_iter + 1
        if done >= self._warmup_iter:
            self.trainer.storage.put_scalars(time=self._step_timer.seconds())
        else:
            self._start_time = time.perf_counter()
            self._total_timer.reset()
        self._total_timer.pause()


def _hms(seconds: float) -> str:
    return str(datetime.timedelta(seconds=int(seconds)))


class PeriodicWriter(HookBase):
    """Calls writers every ``period`` iterations and at the end.

    Args:
        writers: The writers.
        period: Iterations between two writes.
    """

    def __init__(self, writers: Sequence[EventWriter], period: int = 20):
        assert all(isinstance(writer, EventWriter) for writer in writers), writers
        self._writers = writers
        self._period = period

    def after_step(self) -> None:
        iteration = self.trainer.iter
        if (iteration + 1) % self._period == 0 or iteration == self.trainer.max_iter - 1:
            for writer in self._writers:
                writer.write()

    def after_train(self) -> None:
        for writer in self._writers:
            writer.write()  # hooks may have recorded more since the last step
            writer.close()


class PeriodicCheckpointer(_PeriodicCheckpointer, HookBase):
    """fvcore's ``PeriodicCheckpointer`` as a hook."""

    def before_train(self) -> None:
        self.max_iter = self.trainer.max_iter

    def after_step(self) -> None:
        self.step(self.trainer.iter)


class BestCheckpointer(HookBase):
    """Saves a checkpoint whenever an evaluation result is the best so far.

    Args:
        eval_period: The period of the ``EvalHook`` registered before this hook.
        checkpointer: Saves the checkpoint.
        val_metric: Name of the scalar to compare, e.g. "segm/AP".
        mode: "max" or "min".
        file_prefix: Name of the file, without ".pth".
    """

    def __init__(
        self,
        eval_period: int,
        checkpointer: Checkpointer,
        val_metric: str,
        mode: str = "max",
        file_prefix: str = "model_best",
    ) -> None:
        assert mode in ("max", "min"), f"mode must be max or min, got {mode}"
        self._logger = logging.getLogger(__name__)
        self._period = eval_period
        self._checkpointer = checkpointer
        self._val_metric = val_metric
        self._is_better: Callable[[float, float], bool] = operator.gt if mode == "max" else operator.lt
        self._file_prefix = file_prefix
        self.best_metric: float | None = None
        self.best_iter: int | None = None

    def _update_best(self, val: float, iteration: int) -> bool:
        if not math.isfinite(val):
            return False
        self.best_metric = val
        self.best_iter = iteration
        return True

    def _best_checking(self) -> None:
        latest = self.trainer.storage.latest().get(self._val_metric)
        if latest is None:
            self._logger.warning(
                "No result named %s was recorded, so no best checkpoint is saved. "
                "Register the evaluation hook before this one.",
                self._val_metric,
            )
            return
        value, iteration = latest
        if self.best_metric is not None and not self._is_better(value, self.best_metric):
            self._logger.info(
                "%s is %.5f; the best is still %.5f of iteration %s",
                self._val_metric,
                value,
                self.best_metric,
                self.best_iter,
            )
        elif self._update_best(value, iteration):
            self._checkpointer.save(self._file_prefix, iteration=iteration)
            self._logger.info("Saved the best model so far: %s is %.5f", self._val_metric, value)

    def after_step(self) -> None:
        done = self.trainer.iter + 1
        if self._period > 0 and done % self._period == 0 and done != self.trainer.max_iter:
            self._best_checking()

    def after_train(self) -> None:
        if self.trainer.iter + 1 >= self.trainer.max_iter:
            self._best_checking()


class LRScheduler(HookBase):
    """Steps a learning-rate scheduler after every iteration and records ``lr``.

    Args:
        optimizer: None means the trainer's.
        scheduler: None means the trainer's.
    """

    def __init__(self, optimizer: Optimizer | None = None, scheduler: TorchScheduler | None = None):
        self._optimizer: Any = optimizer
        self._scheduler = scheduler

    def before_train(self) -> None:
        self._optimizer = self._optimizer or self.trainer.optimizer
        self._best_param_group_id = LRScheduler.get_best_param_group_id(self._optimizer)

    @staticmethod
    def get_best_param_group_id(optimizer: Optimizer) -> int:
        """Returns the index of the parameter group whose learning rate is reported.

        It is the largest group or, if every group has one parameter, the first with the most common
        learning rate.
        """
        groups = optimizer.param_groups
        largest = max(len(group["params"]) for group in groups)
        if largest > 1:
            return next(i for i, group in enumerate(groups) if len(group["params"]) == largest)
        most_common = Counter(group["lr"] for group in groups).most_common(1)[0][0]
        return next(i for i, group in enumerate(groups) if group["lr"] == most_common)

    def after_step(self) -> None:
        rate = self._optimizer.param_groups[self._best_param_group_id]["lr"]
        self.trainer.storage.put_scalar("lr", rate, smoothing_hint=False)
        self.scheduler.step()

    @property
    def scheduler(self) -> TorchScheduler:
        """The scheduler given, or else the trainer's."""
        return self._scheduler or self.trainer.scheduler

    def state_dict(self) -> dict[str, Any]:
        return self.scheduler.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.scheduler.load_state_dict(state_dict)


class EvalHook(HookBase):
    """Evaluates periodically and at the end, and records the numbers.

    Args:
        eval_period: Iterations between evaluations; 0 means only at the end.
        eval_function: Takes no argument, returns a (nested) dict of numbers or None.
        eval_after_train: Whether to evaluate at the end.
    """

    def __init__(self, eval_period: int, eval_function: Callable[[], Any], eval_after_train: bool = True):
        self._period = eval_period
        self._func: Any = eval_function
        self._eval_after_train = eval_after_train

    def _do_eval(self) -> None:
        results = self._func()
        if results:
            assert isinstance(results, Mapping), f"The evaluation must return a dict, got {results!r}"
            flat = flatten_results_dict(results)
            for name, value in flat.items():
                try:
                    flat[name] = float(value)
                except (TypeError, ValueError) as error:
                    raise ValueError(f"Evaluation result {name} is not a number: {value!r}") from error
            self.trainer.storage.put_scalars(**flat, smoothing_hint=False)
        comm.synchronize()  # evaluation may take longer on one process

    def after_step(self) -> None:
        done = self.trainer.iter + 1
        if self._period > 0 and done % self._period == 0 and done != self.trainer.max_iter:
            self._do_eval()

    def after_train(self) -> None:
        if self._eval_after_train and self.trainer.iter + 1 >= self.trainer.max_iter:
            self._do_eval()
        self._func = None  # it usually refers to the trainer: breaks the cycle


class PreciseBN(HookBase):
    """Replaces batch norm's moving averages with true averages over training batches.

    Args:
        period: Iterations between two updates; 0 means only at the end.
        model: The model; its batch norms in training mode are updated.
        data_loader: Iterable of the model's inputs.
        num_iter: Batches per update.
    """

    def __init__(self, period: int, model: nn.Module, data_loader: Iterable, num_iter: int):
        from fvcore.nn.precise_bn import get_bn_modules  # not at import: it compiles scripts and warns

        self._logger = logging.getLogger(__name__)
        self._disabled = not get_bn_modules(model)
        if self._disabled:
            self._logger.info("PreciseBN is disabled: no batch norm is in training mode.")
            return
        self._period = period
        self._model = model
        self._data_loader = data_loader
        self._num_iter = num_iter
        self._data_iter: Any = None

    def after_step(self) -> None:
        if self._disabled:
            return
        done = self.trainer.iter + 1
        if done == self.trainer.max_iter or (self._period > 0 and done % self._period == 0):
            self.update_stats()

    def update_stats(self) -> None:
        """Sets the batch norms' statistics to their averages over the next ``num_iter`` batches."""
        if self._disabled:
            return
        from fvcore.nn.precise_bn import update_bn_stats

        if self._data_iter is None:
            self._data_iter = iter(self._data_loader)
        self._logger.info("Computing batch norm's statistics over %d batches", self._num_iter)
        with EventStorage():  # discards what the model records meanwhile
            update_bn_stats(self._model, itertools.islice(self._data_iter, self._num_iter), self._num_iter)
