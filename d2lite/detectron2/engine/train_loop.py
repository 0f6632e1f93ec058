"""The loop: hooks around steps, and the step of ordinary supervised training."""

import concurrent.futures
import logging
import time
import weakref
from collections.abc import Mapping

import numpy as np
import torch

import detectron2.utils.comm as comm
from detectron2.utils.events import EventStorage, get_event_storage

__all__ = ["AMPTrainer", "HookBase", "SimpleTrainer", "TrainerBase"]


class HookBase:
    """Something that happens around the steps; ``self.trainer`` is set on registration.

    Order: ``before_train``, then per iteration ``before_step``, the step (in it
    ``after_backward``), ``after_step``, and at last ``after_train``.
    """

    trainer: "TrainerBase" = None

    def before_train(self):
        """Runs once before the first iteration."""

    def after_train(self):
        """Runs once after the last iteration, also when training ended by an exception."""

    def before_step(self):
        """Runs before every iteration."""

    def after_backward(self):
        """Runs between the backward pass and the optimizer's step."""

    def after_step(self):
        """Runs after every iteration."""

    def state_dict(self):
        """Returns what a checkpoint has to hold for this hook; empty for stateless ones."""
        return {}


class TrainerBase:
    """A loop from ``start_iter`` to ``max_iter`` with hooks; subclasses give ``run_step``.

    Attributes:
        iter: the current iteration.
        start_iter: the first one of this run, above 0 when a checkpoint was resumed.
        max_iter: the end, exclusive.
        storage: the ``EventStorage`` that is open while training.
    """

    def __init__(self) -> None:
        self._hooks: list[HookBase] = []
        self.iter: int = 0
        self.start_iter: int = 0
        self.max_iter: int
        self.storage: EventStorage

    def register_hooks(self, hooks: list[HookBase | None]) -> None:
        """Appends hooks, which run in the order they were registered; None entries are skipped."""
        for hook in hooks:
            if hook is None:
                continue
            assert isinstance(hook, HookBase), f"{hook!r} is no HookBase"
            hook.trainer = weakref.proxy(self)
            self._hooks.append(hook)

    def train(self, start_iter: int, max_iter: int):
        """Runs iterations ``start_iter`` to ``max_iter - 1``."""
        logger = logging.getLogger(__name__)
        logger.info("Starting training from iteration %d", start_iter)
        self.iter = self.start_iter = start_iter
        self.max_iter = max_iter
        with EventStorage(start_iter) as self.storage:
            try:
                self.before_train()
                while self.iter < max_iter:
                    self.before_step()
                    self.run_step()
                    self.after_step()
                    self.iter += 1
            except Exception:
                logger.exception("Exception during training:")
                raise
            finally:
                self.after_train()

    def before_train(self):
        for hook in self._hooks:
            hook.before_train()

    def after_train(self):
        self.storage.iter = self.iter
        for hook in self._hooks:
            hook.after_train()

    def before_step(self):
        self.storage.iter = self.iter
        for hook in self._hooks:
            hook.before_step()

    def after_backward(self):
        for hook in self._hooks:
            hook.after_backward()

    def after_step(self):
        for hook in self._hooks:
            hook.after_step()

    def run_step(self):
        """One iteration of training."""
        raise NotImplementedError

    def state_dict(self):
        """Returns the iteration and the states of hooks that have one, by class name."""
        states = {}
        for hook in self._hooks:
            state = hook.state_dict()
            if state:
                states.setdefault(type(hook).__qualname__, state)
        result = {"iteration": self.iter}
        if states:
            result["hooks"] = states
        return result

    def load_state_dict(self, state_dict):
        """Restores what ``state_dict`` gave; states of hooks that are not registered are named."""
        self.iter = state_dict["iteration"]
        by_name = {}
        for hook in self._hooks:
            by_name.setdefault(type(hook).__qualname__, hook)
        for name, state in state_dict.get("hooks", {}).items():
            if name in by_name:
                by_name[name].load_state_dict(state)
            else:
                logging.getLogger(__name__).warning(
                    "The checkpoint holds the state of hook %s, which is not registered", name
                )


class SimpleTrainer(TrainerBase):
    """Single-loss-dict training: one optimizer, one loader, one step per batch.

    Args:
        model: in training mode, maps a batch to a dict of scalar losses.
        data_loader: iterable of batches, endless.
        optimizer: of the model's parameters.
        gather_metric_period: losses are gathered over processes and recorded every so many
            iterations.
        zero_grad_before_forward: clear gradients before the forward pass, not after it.
        async_write_metrics: record losses in a thread of its own.
    """

    def __init__(
        self,
        model,
        data_loader,
        optimizer,
        gather_metric_period=1,
        zero_grad_before_forward=False,
        async_write_metrics=False,
    ):
        super().__init__()
        model.train()
        self.model = model
        self.data_loader = data_loader
        self._data_loader_iter_obj = None
        self.optimizer = optimizer
        self.gather_metric_period = gather_metric_period
        self.zero_grad_before_forward = zero_grad_before_forward
        self.async_write_metrics = async_write_metrics
        self.concurrent_executor = concurrent.futures.ThreadPoolExecutor(max_workers=1)

    def run_step(self):
        """Batch, forward, backward, record, optimizer step."""
        assert self.model.training, "The model was left in evaluation mode"
        data, data_time = self._next_batch()
        if self.zero_grad_before_forward:
            self.optimizer.zero_grad()
        loss_dict, losses = self._sum_losses(self.model(data))
        if not self.zero_grad_before_forward:
            self.optimizer.zero_grad()
        losses.backward()
        self.after_backward()
        self._record(loss_dict, data_time)
        self.optimizer.step()

    def _next_batch(self):
        """The next batch, and the seconds it was waited for."""
        start = time.perf_counter()
        return next(self._data_loader_iter), time.perf_counter() - start

    @staticmethod
    def _sum_losses(losses):
        """A model's output as (dict of losses, their sum)."""
        if isinstance(losses, torch.Tensor):
            return {"total_loss": losses}, losses
        return losses, sum(losses.values())

    def _record(self, loss_dict, data_time):
        if self.async_write_metrics:
            self.concurrent_executor.submit(self._write_metrics, loss_dict, data_time, iter=self.iter)
        else:
            self._write_metrics(loss_dict, data_time)

    @property
    def _data_loader_iter(self):
        if self._data_loader_iter_obj is None:
            self._data_loader_iter_obj = iter(self.data_loader)
        return self._data_loader_iter_obj

    def _write_metrics(
        self,
        loss_dict: Mapping[str, torch.Tensor],
        data_time: float,
        prefix: str = "",
        iter: int | None = None,
    ) -> None:
        cur_iter = self.iter if iter is None else iter
        if (cur_iter + 1) % self.gather_metric_period != 0:
            return
        try:
            SimpleTrainer.write_metrics(loss_dict, data_time, cur_iter, prefix)
        except Exception:
            logging.getLogger(__name__).exception("Exception while recording losses:")
            raise

    @staticmethod
    def write_metrics(
        loss_dict: Mapping[str, torch.Tensor], data_time: float, cur_iter: int, prefix: str = ""
    ) -> None:
        """Records the losses' means over processes and the slowest process's data time.

        Raises:
            FloatingPointError: if the total loss is not finite.
        """
        own = {name: value.detach().cpu().item() for name, value in loss_dict.items()}
        gathered = comm.gather({**own, "data_time": data_time})
        if not comm.is_main_process():
            return
        storage = get_event_storage()
        storage.put_scalar("data_time", np.max([row.pop("data_time") for row in gathered]), cur_iter=cur_iter)
        means = {name: np.mean([row[name] for row in gathered]) for name in gathered[0]}
        total = sum(means.values())
        if not np.isfinite(total):
            raise FloatingPointError(
                f"Loss became infinite or NaN at iteration={cur_iter}!\nloss_dict = {means}"
            )
        storage.put_scalar(f"{prefix}total_loss", total, cur_iter=cur_iter)
        if len(means) > 1:
            storage.put_scalars(cur_iter=cur_iter, **means)

    def state_dict(self):
        return {**super().state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        self.optimizer.load_state_dict(state_dict["optimizer"])

    def after_train(self):
        super().after_train()
        self.concurrent_executor.shutdown(wait=True)


class AMPTrainer(SimpleTrainer):
    """``SimpleTrainer`` with automatic mixed precision on CUDA.

    Args:
        grad_scaler: a ``torch.amp.GradScaler``; None makes the default one.
        precision: the dtype of autocast.
        log_grad_scaler: record the loss scale as ``[metric]grad_scaler``.
        model, data_loader, optimizer, gather_metric_period, zero_grad_before_forward,
            async_write_metrics: as in ``SimpleTrainer``.
    """

    def __init__(
        self,
        model,
        data_loader,
        optimizer,
        gather_metric_period=1,
        zero_grad_before_forward=False,
        grad_scaler=None,
        precision: torch.dtype = torch.float16,
        log_grad_scaler: bool = False,
        async_write_metrics=False,
    ):
        super().__init__(
            model, data_loader, optimizer, gather_metric_period, zero_grad_before_forward, async_write_metrics
        )
        self.grad_scaler = torch.amp.GradScaler("cuda") if grad_scaler is None else grad_scaler
        self.precision = precision
        self.log_grad_scaler = log_grad_scaler

    def run_step(self):
        """Batch, autocast forward, scaled backward, record, scaled step."""
        assert self.model.training, "The model was left in evaluation mode"
        assert torch.cuda.is_available(), "AMPTrainer needs CUDA"
        data, data_time = self._next_batch()
        if self.zero_grad_before_forward:
            self.optimizer.zero_grad()
        with torch.autocast("cuda", dtype=self.precision):
            loss_dict, losses = self._sum_losses(self.model(data))
        if not self.zero_grad_before_forward:
            self.optimizer.zero_grad()
        self.grad_scaler.scale(losses).backward()
        if self.log_grad_scaler:
            get_event_storage().put_scalar("[metric]grad_scaler", self.grad_scaler.get_scale())
        self.after_backward()
        self._record(loss_dict, data_time)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def state_dict(self):
        return {**super().state_dict(), "grad_scaler": self.grad_scaler.state_dict()}

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        self.grad_scaler.load_state_dict(state_dict["grad_scaler"])
