"""Learning-rate schedules as functions of the completed fraction of the training."""

import torch
from fvcore.common.param_scheduler import (
    CompositeParamScheduler,
    ConstantParamScheduler,
    LinearParamScheduler,
    ParamScheduler,
)
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class WarmupParamScheduler(CompositeParamScheduler):
    """A schedule with a warm-up phase at its start."""

    def __init__(
        self,
        scheduler: ParamScheduler,
        warmup_factor: float,
        warmup_length: float,
        warmup_method: str = "linear",
        rescale_interval: bool = False,
    ):
        """
        Args:
            scheduler: The schedule without warm-up.
            warmup_factor: Start of the warm-up, relative to the schedule's first value.
            warmup_length: Fraction of the training that is warm-up, in [0, 1].
            warmup_method: "linear" rises to the schedule's value at the end of the warm-up,
                "constant" keeps its value and then jumps.
            rescale_interval: Whether the whole schedule follows the warm-up, compressed; by default
                the warm-up replaces its first part.

        Raises:
            ValueError: The ``warmup_method`` is unknown.
        """
        start = warmup_factor * scheduler(0.0)
        if warmup_method == "linear":
            warmup = LinearParamScheduler(start, scheduler(warmup_length))
        elif warmup_method == "constant":
            warmup = ConstantParamScheduler(start)
        else:
            raise ValueError(f"Unknown warmup method: {warmup_method}")
        super().__init__(
            [warmup, scheduler],
            interval_scaling=["rescaled", "rescaled" if rescale_interval else "fixed"],
            lengths=[warmup_length, 1 - warmup_length],
        )


class LRMultiplier(LRScheduler):
    """Multiplies the initial learning rate of every group by the value of a schedule."""

    def __init__(self, optimizer: Optimizer, multiplier: ParamScheduler, max_iter: int, last_iter: int = -1):
        """
        Args:
            optimizer: The optimizer, with the initial learning rates.
            multiplier: The schedule, a function on [0, 1].
            max_iter: Number of iterations of the training.
            last_iter: Iteration to resume from, see ``LRScheduler``.

        Raises:
            ValueError: ``multiplier`` is not a ``ParamScheduler``.
        """
        if not isinstance(multiplier, ParamScheduler):
            raise ValueError(f"multiplier must be a ParamScheduler. Got {multiplier} instead.")
        self._multiplier = multiplier
        self._max_iter = max_iter
        super().__init__(optimizer, last_epoch=last_iter)

    def state_dict(self) -> dict:
        """Returns only what the config does not define: a changed schedule applies after resuming."""
        return {"base_lrs": self.base_lrs, "last_epoch": self.last_epoch}

    def get_lr(self) -> list[float | torch.Tensor]:
        factor = self._multiplier(self.last_epoch / self._max_iter)
        return [base_lr * factor for base_lr in self.base_lrs]
