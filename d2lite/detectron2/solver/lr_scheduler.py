"""Learning rate schedules as functions of the fraction of the training that is done."""

from fvcore.common.param_scheduler import (
    CompositeParamScheduler,
    ConstantParamScheduler,
    LinearParamScheduler,
    ParamScheduler,
)
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class WarmupParamScheduler(CompositeParamScheduler):
    """Puts a warm-up in front of a schedule."""

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
            scheduler: the schedule without warm-up.
            warmup_factor: the warm-up starts at this part of the schedule's first value.
            warmup_length: share of the training that is warm-up, in [0, 1].
            warmup_method: ``"linear"`` rises to the schedule's value at the end of the warm-up,
                ``"constant"`` stays and jumps.
            rescale_interval: whether the whole schedule is squeezed behind the warm-up; by
                default its first part is dropped.

        Raises:
            ValueError: an unknown ``warmup_method``.
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
    """Multiplies every group's first learning rate by the value of a schedule."""

    def __init__(self, optimizer: Optimizer, multiplier: ParamScheduler, max_iter: int, last_iter: int = -1):
        """
        Args:
            optimizer: its groups' current learning rates are the ones multiplied.
            multiplier: the schedule, a function on [0, 1].
            max_iter: number of iterations of the training.
            last_iter: iteration to go on from, see ``LRScheduler``.

        Raises:
            ValueError: ``multiplier`` is no ``ParamScheduler``.
        """
        if not isinstance(multiplier, ParamScheduler):
            raise ValueError(f"multiplier must be a ParamScheduler. Got {multiplier} instead.")
        self._multiplier = multiplier
        self._max_iter = max_iter
        super().__init__(optimizer, last_epoch=last_iter)

    def state_dict(self) -> dict:
        """Only what the config does not say: a changed schedule takes effect after a resume."""
        return {"base_lrs": self.base_lrs, "last_epoch": self.last_epoch}

    def get_lr(self) -> list[float]:
        factor = self._multiplier(self.last_epoch / self._max_iter)
        return [base_lr * factor for base_lr in self.base_lrs]
