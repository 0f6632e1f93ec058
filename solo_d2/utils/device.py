"""Chooses a model's device, and copies small values to it without waiting."""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

logger = logging.getLogger(__name__)


def available_device(wanted: str) -> str:
    """Returns ``wanted``; if it is a GPU and this machine has none, logs that and returns "cpu"."""
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        logger.info("no GPU is available: running on the CPU")
        return "cpu"
    return wanted


def copy_to_device(values: Tensor | Sequence, device: torch.device) -> Tensor:
    """Returns a copy of a CPU tensor or of nested numbers on a device; on the CPU, the tensor itself.

    A copy from pageable memory to a GPU blocks the host until the GPU has finished all queued work. A copy
    from pinned memory is queued like any other work.
    """
    values = torch.as_tensor(values)
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)
