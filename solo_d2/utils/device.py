"""Chooses a model's device, and copies small values to it without waiting."""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from .errors import InputError

logger = logging.getLogger(__name__)


def available_device(wanted: str) -> str:
    """Returns ``MODEL.DEVICE``'s value; if it is "cuda" and there is no GPU, logs that and returns "cpu".

    Raises:
        InputError: It is no device, or not one of this machine.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        logger.info("no GPU is available: running on the CPU")
        return "cpu"
    return _checked(wanted, "MODEL.DEVICE")


def choose_device(given: str | torch.device | None, default: str) -> str:
    """Returns a function's argument ``device``, or where it is None the available ``MODEL.DEVICE``.

    Raises:
        InputError: The device is none, or not one of this machine.
    """
    return available_device(default) if given is None else _checked(str(given), "device")


def _checked(name: str, source: str) -> str:
    """Returns the name of a device if this machine and this PyTorch have it."""
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(
            f"{source} {name!r} is no device: give cpu, cuda, or one GPU such as cuda:0"
        ) from None
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        present = f"{count} GPUs; give cuda:0 to cuda:{count - 1}" if count else "no GPU; give cpu"
        raise InputError(f"{source} {name}: this machine has {present}")
    if device.type not in ("cpu", "cuda", "meta"):
        _try(device, source)
    return name


def _try(device: torch.device, source: str) -> None:
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, ImportError) as error:  # NotImplementedError is a RuntimeError
        raise InputError(
            f"{source} {device}: this machine or this PyTorch does not have it; give cpu"
        ) from error


def copy_to_device(values: Tensor | Sequence, device: torch.device) -> Tensor:
    """Returns a copy of a CPU tensor or of nested numbers on a device; on the CPU, the tensor itself.

    A copy from pageable memory to a GPU blocks the host until the GPU has finished all queued work. A copy
    from pinned memory is queued like any other work.
    """
    values = torch.as_tensor(values)
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)
