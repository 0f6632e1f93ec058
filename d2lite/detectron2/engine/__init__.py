"""Training loop, hooks, launching, and the defaults that combine them."""

from . import hooks
from .defaults import DefaultTrainer, default_argument_parser, default_setup, default_writers
from .hooks import (
    BestCheckpointer,
    EvalHook,
    IterationTimer,
    LRScheduler,
    PeriodicCheckpointer,
    PeriodicWriter,
)
from .launch import DEFAULT_TIMEOUT, launch
from .train_loop import HookBase, SimpleTrainer, TrainerBase

__all__ = [
    "DEFAULT_TIMEOUT",
    "BestCheckpointer",
    "DefaultTrainer",
    "EvalHook",
    "HookBase",
    "IterationTimer",
    "LRScheduler",
    "PeriodicCheckpointer",
    "PeriodicWriter",
    "SimpleTrainer",
    "TrainerBase",
    "default_argument_parser",
    "default_setup",
    "default_writers",
    "hooks",
    "launch",
]
