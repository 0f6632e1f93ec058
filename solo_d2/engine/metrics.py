"""Writes a training's metrics; a resumed run continues them as if nothing had happened."""

import json
import os
from collections.abc import Sequence
from typing import Any

from detectron2.engine import HookBase, hooks
from detectron2.utils import comm
from detectron2.utils.events import EventWriter

METRICS_NAME = "metrics.json"
_WINDOW = 20  # values in the medians that writers show


class Metrics(hooks.PeriodicWriter):
    """Calls writers periodically, and completes what an interrupted run left undone.

    A checkpoint is saved before its iteration is evaluated and its metrics are written. If a run ended in
    between, the resumed one does both first. Every process registers this hook last; checkpoints hold the
    latest metrics as its state.
    """

    def __init__(
        self,
        writers: Sequence[EventWriter],
        period: int,
        folder: str,
        eval_period: int = 0,
        evaluation: Sequence[HookBase] = (),
    ):
        """
        Args:
            writers: The main process's writers; none in the others.
            period: Iterations between two writes.
            folder: Folder of ``metrics.json``.
            eval_period: Iterations between two evaluations; 0 for none before the end.
            evaluation: The hooks that evaluate, in the order of their registration.
        """
        super().__init__(writers, period)
        self._path = os.path.join(folder, METRICS_NAME)
        self._eval_period = eval_period
        self._evaluation = evaluation
        self._saved: dict[str, list] = {}
        self._done = 0

    def before_train(self) -> None:
        """Continues the metrics of a resumed run."""
        start = self._done = self.trainer.start_iter
        if not self.trainer.resumes:
            return
        evaluates = start > 0 and self._evaluates_after(start)
        newest = comm.all_gather(self._cut(start - 1, evaluates))[0]
        if comm.is_main_process():
            self._restore(newest)
        if newest < start - 1:
            self._done = self.trainer.iter = self.trainer.storage.iter = start - 1
            for hook in self._evaluation if evaluates else ():
                hook.after_step()
            self.after_step()
            self.trainer.iter = start

    def after_step(self) -> None:
        """Writes if it is time to."""
        super().after_step()
        self._done = self.trainer.iter + 1

    def after_train(self) -> None:
        """Writes the rest, unless an evaluation failed, whose results a resumed run would not miss then."""
        done = self.trainer.iter + 1
        if done > self._done and self._evaluates_after(done):
            for writer in self._writers:
                writer.close()
        else:
            super().after_train()

    def _evaluates_after(self, steps: int) -> bool:
        return self._eval_period > 0 and steps % self._eval_period == 0 and steps < self.trainer.max_iter

    def _cut(self, last: int, evaluates: bool) -> int:
        """Cuts off the lines after iteration ``last``, and its own if that is to have results and has none.

        Returns:
            The newest iteration that stays; -1 for none, and in other processes than the main one.
        """
        newest, size = -1, 0
        if not comm.is_main_process() or not os.path.isfile(self._path):
            return newest
        with open(self._path, "rb") as file:
            for line in file:
                row = _parse(line)
                iteration = row.get("iteration", newest)
                unfinished = iteration == last and evaluates and not any("/" in name for name in row)
                if iteration > last or unfinished or not line.endswith(b"\n"):
                    break
                newest = max(newest, iteration)  # one write of Detectron2's has no order
                size += len(line)
        os.truncate(self._path, size)  # the writer, which has opened the file, appends to the new end
        return newest

    def _restore(self, newest: int) -> None:
        """Puts saved metrics back: to be written if they are newer than iteration ``newest``."""
        storage = self.trainer.storage
        for name, (smooth, values) in self._saved.items():
            for value, iteration in values:
                if values[-1][1] > newest:
                    storage.put_scalar(name, value, smoothing_hint=smooth, cur_iter=iteration)
                else:  # for medians only
                    storage.histories()[name].update(value, iteration)

    def state_dict(self) -> dict[str, Any]:
        """Returns the latest values of every metric with their iterations."""
        storage = self.trainer.storage
        return {
            name: [smooth, storage.histories()[name].values()[-_WINDOW:]]
            for name, smooth in storage.smoothing_hints().items()
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keeps the metrics for the start of training."""
        self._saved = state_dict


def _parse(line: bytes) -> dict:
    """Returns the content of a line; {} if it is damaged."""
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}
