"""The batches of all processes as one, in an order of its own (He et al., "Momentum Contrast", section 3.3).

Batch statistics differ between processes. Were a query and its key normalised among the same other images,
they would tell which key belongs to which query.

n: images of one process; W: processes.
"""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from detectron2.utils import comm

from .device_copy import copy_to_device


def gather_ranks(x: Tensor) -> Tensor:
    """Returns (W * n, ...), every process's (n, ...) in the order of ranks, no gradient; alone, ``x``."""
    world_size = comm.get_world_size()
    if world_size == 1:
        return x
    parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world_size)]
    dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)


@dataclass(frozen=True)
class BatchShuffle:
    """An exchange of images between the processes, and the way back.

    Attributes:
        order: (W * n,) int64 permutation, the same in every process: place i holds image ``order[i]``.
        inverse: (W * n,) int64, the way back.
    """

    order: Tensor
    inverse: Tensor

    @classmethod
    def draw(cls, count: int, seed: int, device: torch.device | None = None) -> "BatchShuffle":
        """Draws the order of ``count`` images of every process; a function of ``seed`` alone.

        Args:
            count: n.
            seed: The same in every process.
            device: Of the tensors to be exchanged, None for the CPU: the order is sent there once.
        """
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(count * comm.get_world_size(), generator=generator)
        both = torch.stack([order, order.argsort()])
        return cls(*(both if device is None else copy_to_device(both, device)))

    def shuffle(self, x: Tensor) -> Tensor:
        """Returns this process's share (n, ...) of all images in their new order, of (n, ...) everywhere."""
        return self._share(gather_ranks(x), self.order)

    def unshuffle(self, x: Tensor) -> Tensor:
        """Returns what became of this process's own images, from what every process made of its share."""
        return self._share(gather_ranks(x), self.inverse)

    @staticmethod
    def _share(gathered: Tensor, order: Tensor) -> Tensor:
        return gathered[order.chunk(comm.get_world_size())[comm.get_rank()]]
