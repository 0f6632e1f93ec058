"""The device of a model: which one there is, and small values on it without waiting for it."""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

logger = logging.getLogger(__name__)


def available_device(wanted: str) -> str:
    """Returns ``wanted``, or "cpu" if it is a GPU and this machine has none, which is logged."""
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        logger.info("no GPU is available: running on the CPU")
        return "cpu"
    return wanted


def copy_to_device(values: Tensor | Sequence, device: torch.device) -> Tensor:
    """Returns a copy of a CPU tensor or of nested numbers on a device; on the CPU, the tensor itself.

    A copy from ordinary memory to a GPU waits until the GPU has done all that was asked of it before; one
    from pinned memory takes its turn.
    """
    values = torch.as_tensor(values)
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)
