"""The training loop: steps with hooks around them."""

import logging
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from detectron2.utils import comm
from detectron2.utils.events import EventStorage, get_event_storage


class HookBase:
    """Callbacks of the training loop; registration sets ``self.trainer``.

    Order: ``before_train``, then per iteration ``before_step``, the step (which calls
    ``after_backward``) and ``after_step``, and finally ``after_train``.
    """

    trainer: Any = None  # a weak proxy of the TrainerBase

    def before_train(self) -> None:
        """Runs once before the first iteration."""

    def after_train(self) -> None:
        """Runs once after the last iteration, also after an exception."""

    def before_step(self) -> None:
        """Runs before every iteration."""

    def after_backward(self) -> None:
        """Runs between the backward pass and the optimizer's step."""

    def after_step(self) -> None:
        """Runs after every iteration."""

    def state_dict(self) -> dict[str, Any]:
        """Returns the hook's state for checkpoints; empty for stateless hooks."""
        return {}


class TrainerBase:
    """A loop from ``start_iter`` to ``max_iter`` with hooks; subclasses define ``run_step``.

    Attributes:
        iter: The current iteration.
        start_iter: The first iteration of this run; above 0 after resuming.
        max_iter: The last iteration + 1.
        storage: The ``EventStorage`` of the run, open during training.
    """

    def __init__(self) -> None:
        self._hooks: list[HookBase] = []
        self.iter: int = 0
        self.start_iter: int = 0
        self.max_iter: int
        self.storage: EventStorage

    def register_hooks(self, hooks: Sequence[HookBase | None]) -> None:
        """Appends hooks, which run in the order of registration; None entries are skipped."""
        for hook in hooks:
            if hook is None:
                continue
            assert isinstance(hook, HookBase), f"{hook!r} is not a HookBase"
            hook.trainer = weakref.proxy(self)
            self._hooks.append(hook)

    def train(self, start_iter: int, max_iter: int) -> Any:
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

    def before_train(self) -> None:
        for hook in self._hooks:
            hook.before_train()

    def after_train(self) -> None:
        self.storage.iter = self.iter
        for hook in self._hooks:
            hook.after_train()

    def before_step(self) -> None:
        self.storage.iter = self.iter
        for hook in self._hooks:
            hook.before_step()

    def after_backward(self) -> None:
        for hook in self._hooks:
            hook.after_backward()

    def after_step(self) -> None:
        for hook in self._hooks:
            hook.after_step()

    def run_step(self) -> None:
        """Runs one iteration of training."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Returns the iteration and the states of stateful hooks, by class name."""
        states: dict[str, dict] = {}
        for hook in self._hooks:
            state = hook.state_dict()
            if state:
                states.setdefault(type(hook).__qualname__, state)
        result: dict[str, Any] = {"iteration": self.iter}
        if states:
            result["hooks"] = states
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the state; a warning names states of unregistered hooks."""
        self.iter = state_dict["iteration"]
        by_name: dict[str, Any] = {}
        for hook in self._hooks:
            by_name.setdefault(type(hook).__qualname__, hook)
        for name, state in state_dict.get("hooks", {}).items():
            if name in by_name:
                by_name[name].load_state_dict(state)
            else:
                logging.getLogger(__name__).warning(
                    "The checkpoint has a state for hook %s, which is not registered", name
                )


class SimpleTrainer(TrainerBase):
    """State and records of a training step with one optimizer; subclasses define ``run_step``.

    Args:
        model: Maps a batch to a dict of scalar losses in training mode.
        data_loader: Endless iterable of batches.
        optimizer: Optimizer of the model's parameters.
    """

    def __init__(self, model: nn.Module, data_loader: Iterable, optimizer: Optimizer):
        super().__init__()
        model.train()
        self.model = model
        self.data_loader = data_loader
        self.optimizer = optimizer

    @staticmethod
    def write_metrics(
        loss_dict: Mapping[str, torch.Tensor], data_time: float, cur_iter: int, prefix: str = ""
    ) -> None:
        """Records the losses' means over processes and the data time of the slowest process.

        Raises:
            FloatingPointError: The total loss is not finite.
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

    def state_dict(self) -> dict[str, Any]:
        """Adds the optimizer's state."""
        return {**super().state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores iteration, hooks and optimizer."""
        super().load_state_dict(state_dict)
        self.optimizer.load_state_dict(state_dict["optimizer"])
