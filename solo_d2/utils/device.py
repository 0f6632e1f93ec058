"""Small values of the host on the model's device, without waiting for it."""

from collections.abc import Sequence

import torch
from torch import Tensor


def copy_to_device(values: Tensor | Sequence, device: torch.device) -> Tensor:
    """Returns a copy of a CPU tensor or of nested numbers on a device; on the CPU, the tensor itself.

    A copy from ordinary memory to a GPU waits until the GPU has done all that was asked of it before; one
    from pinned memory takes its turn.
    """
    values = torch.as_tensor(values)
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)
