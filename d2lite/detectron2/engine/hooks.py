"""Ready-made hooks: timing, writing, checkpoints, learning rate, evaluation."""

import datetime
import itertools
import logging
import math
import operator
import time
from collections import Counter
from collections.abc import Mapping

from fvcore.common.checkpoint import Checkpointer
from fvcore.common.checkpoint import PeriodicCheckpointer as _PeriodicCheckpointer
from fvcore.common.timer import Timer
from fvcore.nn.precise_bn import get_bn_modules, update_bn_stats

import detectron2.utils.comm as comm
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils.events import EventStorage, EventWriter

from .train_loop import HookBase

__all__ = [
    "BestCheckpointer",
    "CallbackHook",
    "EvalHook",
    "IterationTimer",
    "LRScheduler",
    "PeriodicCheckpointer",
    "PeriodicWriter",
    "PreciseBN",
]


class CallbackHook(HookBase):
    """A hook made of functions, each of which is given the trainer."""

    def __init__(self, *, before_train=None, after_train=None, before_step=None, after_step=None):
        self._before_train = before_train
        self._after_train = after_train
        self._before_step = before_step
        self._after_step = after_step

    def before_train(self):
        if self._before_train:
            self._before_train(self.trainer)

    def after_train(self):
        if self._after_train:
            self._after_train(self.trainer)
        self._before_train = self._after_train = self._before_step = self._after_step = None  # may hold it

    def before_step(self):
        if self._before_step:
            self._before_step(self.trainer)

    def after_step(self):
        if self._after_step:
            self._after_step(self.trainer)


class IterationTimer(HookBase):
    """Records the seconds per iteration as ``time`` and logs a summary at the end.

    Args:
        warmup_iter: iterations at the start that do not count.
    """

    def __init__(self, warmup_iter=3):
        self._warmup_iter = warmup_iter
        self._step_timer = Timer()
        self._start_time = time.perf_counter()
        self._total_timer = Timer()

    def before_train(self):
        self._start_time = time.perf_counter()
        self._total_timer.reset()
        self._total_timer.pause()

    def after_train(self):
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

    def before_step(self):
        self._step_timer.reset()
        self._total_timer.resume()

    def after_step(self):
        done = self.trainer.storage.iter - self.trainer.start_iter + 1
        if done >= self._warmup_iter:
            self.trainer.storage.put_scalars(time=self._step_timer.seconds())
        else:
            self._start_time = time.perf_counter()
            self._total_timer.reset()
        self._total_timer.pause()


def _hms(seconds) -> str:
    return str(datetime.timedelta(seconds=int(seconds)))


class PeriodicWriter(HookBase):
    """Lets writers write every ``period`` iterations and at the end.

    Args:
        writers: list of ``EventWriter``.
        period: iterations between two writes.
    """

    def __init__(self, writers, period=20):
        assert all(isinstance(writer, EventWriter) for writer in writers), writers
        self._writers = writers
        self._period = period

    def after_step(self):
        iteration = self.trainer.iter
        if (iteration + 1) % self._period == 0 or iteration == self.trainer.max_iter - 1:
            for writer in self._writers:
                writer.write()

    def after_train(self):
        for writer in self._writers:
            writer.write()  # what hooks recorded after the last step
            writer.close()


class PeriodicCheckpointer(_PeriodicCheckpointer, HookBase):
    """fvcore's ``PeriodicCheckpointer``, stepped by the loop."""

    def before_train(self):
        self.max_iter = self.trainer.max_iter

    def after_step(self):
        self.step(self.trainer.iter)


class BestCheckpointer(HookBase):
    """Saves a checkpoint whenever an evaluation result is the best so far.

    Args:
        eval_period: the period of the ``EvalHook`` that comes before this hook.
        checkpointer: what saves.
        val_metric: name of the scalar to follow, e.g. "segm/AP".
        mode: "max" or "min".
        file_prefix: name of the file, without ".pth".
    """

    def __init__(
        self,
        eval_period: int,
        checkpointer: Checkpointer,
        val_metric: str,
        mode: str = "max",
        file_prefix: str = "model_best",
    ) -> None:
        assert mode in ("max", "min"), f"mode is max or min, not {mode}"
        self._logger = logging.getLogger(__name__)
        self._period = eval_period
        self._checkpointer = checkpointer
        self._val_metric = val_metric
        self._is_better = operator.gt if mode == "max" else operator.lt
        self._file_prefix = file_prefix
        self.best_metric = None
        self.best_iter = None

    def _update_best(self, val, iteration):
        if not math.isfinite(val):
            return False
        self.best_metric = val
        self.best_iter = iteration
        return True

    def _best_checking(self):
        latest = self.trainer.storage.latest().get(self._val_metric)
        if latest is None:
            self._logger.warning(
                "No result named %s was recorded: no best checkpoint is kept. "
                "Is the evaluation hook registered before this one?",
                self._val_metric,
            )
            return
        value, iteration = latest
        if self.best_metric is not None and not self._is_better(value, self.best_metric):
            self._logger.info(
                "%s is %.5f; the best stays %.5f of iteration %s",
                self._val_metric,
                value,
                self.best_metric,
                self.best_iter,
            )
        elif self._update_best(value, iteration):
            self._checkpointer.save(self._file_prefix, iteration=iteration)
            self._logger.info("Saved the best model so far: %s is %.5f", self._val_metric, value)

    def after_step(self):
        done = self.trainer.iter + 1
        if self._period > 0 and done % self._period == 0 and done != self.trainer.max_iter:
            self._best_checking()

    def after_train(self):
        if self.trainer.iter + 1 >= self.trainer.max_iter:
            self._best_checking()


class LRScheduler(HookBase):
    """Steps a learning-rate scheduler after every iteration and records ``lr``.

    Args:
        optimizer: default: the trainer's.
        scheduler: default: the trainer's.
    """

    def __init__(self, optimizer=None, scheduler=None):
        self._optimizer = optimizer
        self._scheduler = scheduler

    def before_train(self):
        self._optimizer = self._optimizer or self.trainer.optimizer
        self._best_param_group_id = LRScheduler.get_best_param_group_id(self._optimizer)

    @staticmethod
    def get_best_param_group_id(optimizer):
        """Returns the index of the group that speaks for all: the largest one, or, where every
        group has a single parameter, the first with the commonest learning rate."""
        groups = optimizer.param_groups
        largest = max(len(group["params"]) for group in groups)
        if largest > 1:
            return next(i for i, group in enumerate(groups) if len(group["params"]) == largest)
        commonest = Counter(group["lr"] for group in groups).most_common(1)[0][0]
        return next(i for i, group in enumerate(groups) if group["lr"] == commonest)

    def after_step(self):
        rate = self._optimizer.param_groups[self._best_param_group_id]["lr"]
        self.trainer.storage.put_scalar("lr", rate, smoothing_hint=False)
        self.scheduler.step()

    @property
    def scheduler(self):
        return self._scheduler or self.trainer.scheduler

    def state_dict(self):
        return self.scheduler.state_dict()

    def load_state_dict(self, state_dict):
        self.scheduler.load_state_dict(state_dict)


class EvalHook(HookBase):
    """Runs an evaluation periodically and at the end, and records its numbers.

    Args:
        eval_period: iterations between evaluations; 0: only at the end.
        eval_function: takes nothing, returns a (nested) dict of numbers or nothing.
        eval_after_train: whether to evaluate at the end.
    """

    def __init__(self, eval_period, eval_function, eval_after_train=True):
        self._period = eval_period
        self._func = eval_function
        self._eval_after_train = eval_after_train

    def _do_eval(self):
        results = self._func()
        if results:
            assert isinstance(results, Mapping), f"An evaluation gives a dict, not {results!r}"
            flat = flatten_results_dict(results)
            for name, value in flat.items():
                try:
                    flat[name] = float(value)
                except (TypeError, ValueError) as error:
                    raise ValueError(f"Evaluation result {name} is no number: {value!r}") from error
            self.trainer.storage.put_scalars(**flat, smoothing_hint=False)
        comm.synchronize()  # evaluation may take longer on one process

    def after_step(self):
        done = self.trainer.iter + 1
        if self._period > 0 and done % self._period == 0 and done != self.trainer.max_iter:
            self._do_eval()

    def after_train(self):
        if self._eval_after_train and self.trainer.iter + 1 >= self.trainer.max_iter:
            self._do_eval()
        self._func = None  # it usually holds the trainer


class PreciseBN(HookBase):
    """Replaces batch norm's moving averages by true averages over training batches.

    Args:
        period: iterations between two measurements; 0: only at the end.
        model: its batch norms in training mode are measured.
        data_loader: iterable of the model's inputs.
        num_iter: batches per measurement.
    """

    def __init__(self, period, model, data_loader, num_iter):
        self._logger = logging.getLogger(__name__)
        self._disabled = not get_bn_modules(model)
        if self._disabled:
            self._logger.info("PreciseBN has nothing to do: no batch norm is in training mode.")
            return
        self._period = period
        self._model = model
        self._data_loader = data_loader
        self._num_iter = num_iter
        self._data_iter = None

    def after_step(self):
        if self._disabled:
            return
        done = self.trainer.iter + 1
        if done == self.trainer.max_iter or (self._period > 0 and done % self._period == 0):
            self.update_stats()

    def update_stats(self):
        """Measures now."""
        if self._disabled:
            return
        if self._data_iter is None:
            self._data_iter = iter(self._data_loader)
        self._logger.info("Measuring batch norm's statistics over %d batches", self._num_iter)
        with EventStorage():  # what the model records here is nobody's business
            update_bn_stats(self._model, itertools.islice(self._data_iter, self._num_iter), self._num_iter)
