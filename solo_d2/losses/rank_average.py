"""Counts that losses are divided by, shared between the processes of a training."""

import torch.distributed as dist
from torch import Tensor

from detectron2.utils import comm


def average_over_ranks(value: Tensor) -> Tensor:
    """Returns the mean of a scalar over all processes; a process without any instance takes part, too."""
    world_size = comm.get_world_size()
    if world_size == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / world_size
