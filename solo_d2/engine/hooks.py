"""Hooks for averaged weights, the best checkpoint, and batch-norm statistics, all exact after resuming."""

import contextlib
import copy
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from detectron2.engine import HookBase, hooks
from solo_d2.checkpoint import Checkpointer
from solo_d2.checkpoint.file_names import (
    AVERAGED,
    BEST,
    FINAL,
    MODEL,
    RESUME,
    iteration_of,
    resume_name,
)
from solo_d2.utils.json_file import read_json, write_json

from .interruption import Interrupted

_NUM_KEPT = 2  # checkpoints for --resume; more than one, as one may be damaged


class Checkpoints(hooks.PeriodicCheckpointer):
    """Saves every so many steps and minutes, before evaluations, when asked to stop, and at the end.

    Every process of the job has this hook; only the main one writes. The trainer's ``stopping`` is the
    signal by which the job has agreed to stop after this step, or 0.
    """

    def __init__(
        self,
        checkpointer: Checkpointer,
        period: int,
        minutes: float,
        eval_period: int = 0,
        *,
        final: Checkpointer,
        most: int = 0,
    ):
        """
        Args:
            checkpointer: Saves model and training.
            period: Iterations between two checkpoints that are kept; 0 for none.
            minutes: Minutes between two checkpoints for ``--resume``; 0 for none.
            eval_period: Iterations between two evaluations; 0 for none before the end.
            final: Saves the model alone, as ``model_final.pth``.
            most: Number of the newest checkpoints of ``period`` that are kept; 0 for all.
        """
        super().__init__(checkpointer, period if period > 0 else sys.maxsize)
        self._seconds = 60 * minutes if minutes > 0 else float("inf")
        self._eval_period = eval_period
        self._final = final
        self._most = most
        self._saved_at = time.monotonic()

    def before_train(self) -> None:
        """Starts the clock."""
        super().before_train()
        self.max_iter = None  # the end is saved here, not by fvcore
        self._saved_at = time.monotonic()

    def after_step(self) -> None:
        """Saves if it is time to.

        Raises:
            Interrupted: The job stops here.
        """
        super().after_step()
        iteration = self.trainer.iter
        done = iteration + 1
        ends = done >= self.trainer.max_iter
        evaluates = self._eval_period > 0 and done % self._eval_period == 0
        late = time.monotonic() - self._saved_at >= self._seconds
        if done % self.period == 0:
            self._saved_at = time.monotonic()
            if self._most:
                self._delete_others(MODEL, iteration, self._most)
        elif ends or evaluates or late or self.trainer.stopping:
            self._save_for_resuming(iteration)
        if ends:
            self._final.save(FINAL, iteration=iteration)
        elif self.trainer.stopping:  # a stop in the last step is due in the evaluation that follows
            raise Interrupted(self.trainer.stopping)

    def after_train(self) -> None:
        """Saves the final weights again if the run had been trained to its end before.

        It may have ended while it wrote that file, or the file may be damaged.
        """
        trainer = self.trainer
        if trainer.start_iter < trainer.max_iter:
            return
        iteration, trainer.iter = trainer.iter, trainer.start_iter - 1
        if iteration_of(self.checkpointer.get_checkpoint_file()) is None:  # 0.1.0 had one file for both
            self._save_for_resuming(trainer.iter)
        self._final.save(FINAL, iteration=trainer.iter)
        trainer.iter = iteration

    def _save_for_resuming(self, iteration: int) -> None:
        self.checkpointer.save(resume_name(iteration), iteration=iteration)
        self._saved_at = time.monotonic()
        self._delete_others(RESUME, iteration, _NUM_KEPT)

    def _delete_others(self, kind: str, iteration: int, most: int) -> None:
        """Deletes the checkpoints of a kind except for the newest up to an iteration."""
        if not (self.checkpointer.save_to_disk and self.checkpointer.save_dir):
            return
        folder = Path(self.checkpointer.save_dir)
        found = {iteration_of(path, [kind]): path for path in folder.iterdir()}
        numbered = {number: path for number, path in found.items() if number is not None}
        # Those after this iteration are of an attempt that was given up because they are damaged.
        kept = sorted(number for number in numbered if number <= iteration)[-most:]
        for number in numbered.keys() - set(kept):
            with contextlib.suppress(OSError):
                numbered[number].unlink()


class EMAHook(HookBase):
    """Keeps an exponential moving average of the weights, and saves it at the end.

    The decay grows from 1/10 to its value as (1 + n) / (10 + n) over the updates n, so that short runs are
    not dominated by their random start. Buffers (batch-norm statistics) are averaged, too.
    Checkpoints hold the average as this hook's state; ``model_final_ema.pth`` holds it as weights.

    Args:
        model: The live, unwrapped model.
        decay: Fraction of the old average that a step keeps, in [0, 1).
        build_checkpointer: Builds the checkpointer of the averaged model, which saves
            ``model_final_ema.pth``.

    Attributes:
        averaged: The model with averaged weights, in evaluation mode.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        decay: float,
        build_checkpointer: Callable[[torch.nn.Module], Checkpointer],
    ):
        self.averaged = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self._live = model
        self._updates = 0
        self._checkpointer = build_checkpointer(self.averaged)

    def before_train(self) -> None:
        """Initializes the average with the initial weights of training."""
        if self._updates == 0:
            self.averaged.load_state_dict(self._live.state_dict())

    @torch.no_grad()
    def after_step(self) -> None:
        """Moves the average toward the weights after the optimizer's step."""
        decay = min(self.decay, (1 + self._updates) / (10 + self._updates))
        self._updates += 1
        live = self._live.state_dict()
        for name, average in self.averaged.state_dict().items():
            if average.is_floating_point():
                average.lerp_(live[name], 1 - decay)
            else:
                average.copy_(live[name])

    def after_train(self) -> None:
        """Saves the average as weights if training reached its end."""
        if self.trainer.iter + 1 >= self.trainer.max_iter:
            self._checkpointer.save(AVERAGED)

    def state_dict(self) -> dict:
        """Returns the average and the number of its updates."""
        return {"updates": self._updates, "weights": self.averaged.state_dict()}

    def load_state_dict(self, state_dict: dict) -> None:
        """Restores the average."""
        self._updates = state_dict["updates"]
        self.averaged.load_state_dict(state_dict["weights"])


class PreciseBN(hooks.PreciseBN):
    """Detectron2's hook with the same batches at every measurement, also in a resumed run.

    Arguments are Detectron2's.
    """

    def update_stats(self) -> None:
        """Sets the batch norms' statistics to their averages over the loader's first batches."""
        self._data_iter = None
        super().update_stats()


class BestCheckpoint(hooks.BestCheckpointer):
    """Keeps ``model_best.pth`` and records its score for resumed runs.

    Args:
        eval_period: Period of the evaluation hook that is registered before this one.
        checkpointer: Of the evaluated model; its folder gets ``model_best.pth`` and ``model_best.json``.
        metric: Evaluation result to follow, e.g. "segm/AP"; higher is better.
    """

    def __init__(self, eval_period: int, checkpointer: Checkpointer, metric: str):
        super().__init__(eval_period, checkpointer, metric, "max", BEST)
        self._metric = metric
        self._record = os.path.join(checkpointer.save_dir, f"{BEST}.json")

    def before_train(self) -> None:
        """Restores the best score of a resumed run."""
        if self.trainer.start_iter == 0 or not os.path.isfile(self._record):
            return
        record = read_json(self._record, "record of the best model")
        if record["metric"] == self._metric:
            self.best_metric, self.best_iter = record["value"], record["iteration"]

    def after_step(self) -> None:
        """Saves the model if the latest evaluation is the best."""
        before = self.best_iter
        super().after_step()
        self._write_record(before)

    def after_train(self) -> None:
        """Does the same for the last evaluation."""
        before = self.best_iter
        super().after_train()
        self._write_record(before)

    def _write_record(self, best_iter_before: int | None) -> None:
        if self.best_iter == best_iter_before:
            return
        record = {"metric": self._metric, "value": self.best_metric, "iteration": self.best_iter}
        write_json(self._record, record)
