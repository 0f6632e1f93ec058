"""Optimizer, gradient clipping and learning-rate schedule from the configuration."""

import logging
from collections.abc import Callable
from enum import Enum
from typing import Any

import torch
from fvcore.common.param_scheduler import (
    CosineParamScheduler,
    MultiStepParamScheduler,
    ParamScheduler,
    StepWithFixedGammaParamScheduler,
)
from torch import nn

from detectron2.config import CfgNode

from .lr_scheduler import LRMultiplier, WarmupParamScheduler

_NORM_TYPES = (
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.LocalResponseNorm,
)


class GradientClipType(Enum):
    """The values of ``SOLVER.CLIP_GRADIENTS.CLIP_TYPE``."""

    VALUE = "value"
    NORM = "norm"


def _create_gradient_clipper(cfg: CfgNode) -> Callable[[nn.Parameter], Any]:
    value, norm_type = cfg.CLIP_VALUE, cfg.NORM_TYPE
    if GradientClipType(cfg.CLIP_TYPE) == GradientClipType.VALUE:
        return lambda parameter: nn.utils.clip_grad_value_(parameter, value)
    return lambda parameter: nn.utils.clip_grad_norm_(parameter, value, norm_type)


def maybe_add_gradient_clipping(cfg: CfgNode, optimizer: Any) -> Any:
    """Makes an optimizer clip the gradient of each parameter separately before each step.

    Args:
        cfg: The configuration; only ``SOLVER.CLIP_GRADIENTS`` is read.
        optimizer: An optimizer, or a subclass of ``torch.optim.Optimizer``.

    Returns:
        ``optimizer`` itself if clipping is off. Otherwise the same optimizer with a changed class,
        or a subclass of the given class.
    """
    if not cfg.SOLVER.CLIP_GRADIENTS.ENABLED:
        return optimizer
    is_instance = isinstance(optimizer, torch.optim.Optimizer)
    base: Any = type(optimizer) if is_instance else optimizer
    assert issubclass(base, torch.optim.Optimizer), base
    clip = _create_gradient_clipper(cfg.SOLVER.CLIP_GRADIENTS)

    def step(self: Any, closure: Callable | None = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                clip(parameter)
        return base.step(self, closure)

    clipping = type(base.__name__ + "WithGradientClip", (base,), {"step": step})
    if not is_instance:
        return clipping
    optimizer.__class__ = clipping
    return optimizer


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """Builds SGD from ``cfg.SOLVER``, with separate weight decay for norms and biases."""
    solver = cfg.SOLVER
    params = get_default_optimizer_params(
        model,
        base_lr=solver.BASE_LR,
        weight_decay_norm=solver.WEIGHT_DECAY_NORM,
        bias_lr_factor=solver.BIAS_LR_FACTOR,
        weight_decay_bias=solver.WEIGHT_DECAY_BIAS,
    )
    optimizer = torch.optim.SGD(
        params,
        lr=solver.BASE_LR,
        momentum=solver.MOMENTUM,
        nesterov=solver.NESTEROV,
        weight_decay=solver.WEIGHT_DECAY,
        foreach=True,
    )
    return maybe_add_gradient_clipping(cfg, optimizer)


def get_default_optimizer_params(
    model: nn.Module,
    base_lr: float | None = None,
    weight_decay: float | None = None,
    weight_decay_norm: float | None = None,
    bias_lr_factor: float | None = 1.0,
    weight_decay_bias: float | None = None,
) -> list[dict[str, Any]]:
    """Sorts the trainable parameters of a model into groups of equal hyperparameters.

    Arguments that are None do not appear in the groups, so that the optimizer's default applies.

    Args:
        model: The model.
        base_lr: Learning rate of every group.
        weight_decay: Weight decay of every parameter except those below.
        weight_decay_norm: Weight decay of the parameters of normalization layers.
        bias_lr_factor: Factor on the learning rate of parameters named "bias"; needs ``base_lr``.
        weight_decay_bias: Weight decay of parameters named "bias".

    Returns:
        The groups, for any ``torch.optim`` optimizer.

    Raises:
        ValueError: A ``bias_lr_factor`` without ``base_lr``.
    """
    defaults: dict[str, Any] = {}
    if base_lr is not None:
        defaults["lr"] = base_lr
    if weight_decay is not None:
        defaults["weight_decay"] = weight_decay
    of_bias = _bias_overrides(base_lr, bias_lr_factor, weight_decay_bias)
    groups: list[dict[str, Any]] = []
    seen: set[nn.Parameter] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or parameter in seen:
                continue
            seen.add(parameter)
            hyperparams = dict(defaults)
            if isinstance(module, _NORM_TYPES) and weight_decay_norm is not None:
                hyperparams["weight_decay"] = weight_decay_norm
            if name == "bias":
                hyperparams.update(of_bias)
            groups.append({"params": [parameter], **hyperparams})
    return reduce_param_groups(groups)


def _bias_overrides(
    base_lr: float | None, bias_lr_factor: float | None, weight_decay_bias: float | None
) -> dict[str, float]:
    """Returns the hyperparameters of biases that differ from those of weights."""
    of_bias: dict[str, float] = {}
    if bias_lr_factor is not None and bias_lr_factor != 1.0:
        if base_lr is None:
            raise ValueError("bias_lr_factor requires base_lr")
        of_bias["lr"] = base_lr * bias_lr_factor
    if weight_decay_bias is not None:
        of_bias["weight_decay"] = weight_decay_bias
    return of_bias


def reduce_param_groups(params: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merges groups of equal hyperparameters, which makes ``foreach`` optimizers fast.

    A parameter of several groups ends up in one, with the last value of each hyperparameter.
    """
    per_parameter: dict[nn.Parameter, dict[str, Any]] = {}
    for group in params:
        hyperparams = {name: value for name, value in group.items() if name != "params"}
        for parameter in group["params"]:
            per_parameter.setdefault(parameter, {}).update(hyperparams)
    merged: dict[tuple, list[nn.Parameter]] = {}
    for parameter, hyperparams in per_parameter.items():
        merged.setdefault(tuple(hyperparams.items()), []).append(parameter)
    return [{**dict(items), "params": parameters} for items, parameters in merged.items()]


def build_lr_scheduler(
    cfg: CfgNode, optimizer: torch.optim.Optimizer
) -> torch.optim.lr_scheduler.LRScheduler:
    """Builds the schedule ``SOLVER.LR_SCHEDULER_NAME`` with its warm-up.

    Raises:
        ValueError: The name is unknown.
    """
    solver = cfg.SOLVER
    name = solver.LR_SCHEDULER_NAME
    schedule: ParamScheduler
    if name == "WarmupMultiStepLR":
        steps = [step for step in solver.STEPS if step <= solver.MAX_ITER]
        if len(steps) != len(solver.STEPS):
            logging.getLogger(__name__).warning(
                "SOLVER.STEPS contains values larger than SOLVER.MAX_ITER; they are ignored."
            )
        schedule = MultiStepParamScheduler(
            values=[solver.GAMMA**k for k in range(len(steps) + 1)],
            milestones=steps,
            num_updates=solver.MAX_ITER,
        )
    elif name == "WarmupCosineLR":
        end_value = solver.BASE_LR_END / solver.BASE_LR
        assert 0.0 <= end_value <= 1.0, end_value
        schedule = CosineParamScheduler(1, end_value)
    elif name == "WarmupStepWithFixedGammaLR":
        schedule = StepWithFixedGammaParamScheduler(
            base_value=1.0,
            gamma=solver.GAMMA,
            num_decays=solver.NUM_DECAYS,
            num_updates=solver.MAX_ITER,
        )
    else:
        raise ValueError(f"Unknown LR scheduler: {name}. Check SOLVER.LR_SCHEDULER_NAME.")
    schedule = WarmupParamScheduler(
        schedule,
        solver.WARMUP_FACTOR,
        min(solver.WARMUP_ITERS / solver.MAX_ITER, 1.0),
        solver.WARMUP_METHOD,
        solver.RESCALE_INTERVAL,
    )
    return LRMultiplier(optimizer, multiplier=schedule, max_iter=solver.MAX_ITER)
