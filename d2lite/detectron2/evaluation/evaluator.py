"""The interface of evaluators, and the loop that runs them."""

import datetime
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from detectron2.utils.comm import get_world_size, is_main_process
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import log_every_n_seconds

_WARMUP_ITERATIONS = 5  # excluded from the timing
_LOG_SECONDS = 5


class DatasetEvaluator:
    """Collects a model's predictions on a dataset (``process``) and computes metrics (``evaluate``)."""

    def reset(self) -> None:
        """Prepares a new round of evaluation."""

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Stores one batch; ``zip(inputs, outputs)`` pairs the images."""

    def evaluate(self) -> dict[str, Any] | None:
        """Returns {task: {metric: number}}; may return None outside the main process."""


class DatasetEvaluators(DatasetEvaluator):
    """Several evaluators as one; no two may report the same task.

    Args:
        evaluators: The evaluators.
    """

    def __init__(self, evaluators: list[DatasetEvaluator]):
        super().__init__()
        self._evaluators = evaluators

    def reset(self) -> None:
        for evaluator in self._evaluators:
            evaluator.reset()

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        for evaluator in self._evaluators:
            evaluator.process(inputs, outputs)

    def evaluate(self) -> OrderedDict:
        results: OrderedDict = OrderedDict()
        for evaluator in self._evaluators:
            result = evaluator.evaluate()
            if not is_main_process() or result is None:
                continue
            for task, metrics in result.items():
                assert task not in results, f"Two evaluators report the same task {task}"
                results[task] = metrics
        return results


class _Stopwatch:
    """Seconds spent in each part of the loop, and the log lines about them."""

    def __init__(self, total: int):
        self._total = total
        self._warmup = min(_WARMUP_ITERATIONS, total - 1)
        self._reset()

    def _reset(self) -> None:
        self._since = self._last = time.perf_counter()
        self.seconds = {"data": 0.0, "compute": 0.0, "eval": 0.0}

    def begin(self, index: int) -> None:
        """Starts batch ``index``."""
        if index == self._warmup:
            self._reset()
        else:
            self.lap("data")

    def lap(self, part: str) -> None:
        """Adds the time since the last call to ``part``."""
        now = time.perf_counter()
        self.seconds[part] += now - self._last
        self._last = now

    def log_progress(self, index: int) -> None:
        done = index + 1 - self._warmup * (index >= self._warmup)
        per_iter = {part: seconds / done for part, seconds in self.seconds.items()}
        total = (time.perf_counter() - self._since) / done
        if index < self._warmup * 2 and per_iter["compute"] <= _LOG_SECONDS:
            return
        eta = datetime.timedelta(seconds=int(total * (self._total - index - 1)))
        log_every_n_seconds(
            logging.INFO,
            f"Inference done {index + 1}/{self._total}. Dataloading: {per_iter['data']:.4f} s/iter. "
            f"Inference: {per_iter['compute']:.4f} s/iter. Eval: {per_iter['eval']:.4f} s/iter. "
            f"Total: {total:.4f} s/iter. ETA={eta}",
            n=_LOG_SECONDS,
            name=__name__,
        )

    def log_total(self, num_devices: int) -> None:
        logger = logging.getLogger(__name__)
        timed = self._total - self._warmup
        for what, seconds in (
            ("Total inference", time.perf_counter() - self._since),
            ("Total inference pure compute", self.seconds["compute"]),
        ):
            logger.info(
                f"{what} time: {datetime.timedelta(seconds=int(seconds))} "
                f"({seconds / timed:.6f} s / iter per device, on {num_devices} devices)"
            )


def inference_on_dataset(
    model: nn.Module | Callable,
    data_loader: Any,
    evaluator: DatasetEvaluator | list[DatasetEvaluator] | None,
    callbacks: dict[str, Callable] | None = None,
) -> dict[str, Any]:
    """Runs a model over a loader without gradients and evaluates its outputs.

    Args:
        model: Called with one batch; an ``nn.Module`` runs in evaluation mode.
        data_loader: Yields batches and has a length.
        evaluator: One or several; None only runs the model.
        callbacks: Functions without arguments for "on_start", "before_inference",
            "after_inference", "on_end".

    Returns:
        The evaluator's results; {} in processes without results.
    """
    logger = logging.getLogger(__name__)
    num_devices = get_world_size()
    logger.info(f"Start inference on {len(data_loader)} batches")
    if evaluator is None or isinstance(evaluator, list):
        evaluator = DatasetEvaluators(evaluator or [])
    evaluator.reset()

    def call(event: str) -> None:
        (callbacks or {}).get(event, lambda: None)()

    watch = _Stopwatch(len(data_loader))
    with ExitStack() as stack:
        if isinstance(model, nn.Module):
            stack.enter_context(inference_context(model))
        stack.enter_context(torch.no_grad())
        call("on_start")
        for index, inputs in enumerate(data_loader):
            watch.begin(index)
            call("before_inference")
            outputs = model(inputs)
            call("after_inference")
            if torch.cuda.is_available() and torch.cuda.is_initialized():
                torch.cuda.synchronize()
            watch.lap("compute")
            evaluator.process(inputs, outputs)
            watch.lap("eval")
            watch.log_progress(index)
        call("on_end")
    watch.log_total(num_devices)
    return evaluator.evaluate() or {}


def write_file(folder: str, name: str, mode: str, write: Callable) -> None:
    """Writes a file atomically: ``write`` fills a temporary file, which is then renamed."""
    PathManager.mkdirs(folder)
    path = os.path.join(folder, name)
    with PathManager.open(f"{path}.tmp", mode) as f:
        write(f)
    os.replace(f"{path}.tmp", path)


@contextmanager
def inference_context(model: nn.Module) -> Iterator[None]:
    """Puts a model in evaluation mode inside the block, and restores its mode afterwards."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
