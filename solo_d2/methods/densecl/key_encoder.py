"""MoCo's key encoder: a momentum copy, a queue of its keys, and batches shuffled over the processes.

He et al., "Momentum Contrast", https://arxiv.org/abs/1911.05722. n: images of one process; W: processes.

Keys are encoded in a shuffled order (section 3.3 there). If a query and its key were normalized together with
the same other images, the batch statistics would reveal which key belongs to which query.
"""

import copy
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from detectron2.utils import comm
from solo_d2.utils.device import copy_to_device
from solo_d2.utils.errors import InputError


def gather_ranks(x: Tensor) -> Tensor:
    """Gathers every process's (n, ...) to (W * n, ...) in rank order, without gradient; alone gives ``x``."""
    world_size = comm.get_world_size()
    if world_size == 1:
        return x
    parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world_size)]
    dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)


@dataclass(frozen=True)
class BatchShuffle:
    """An exchange of images between the processes, and its inverse.

    Attributes:
        order: (W * n,) int64 permutation, the same in every process: place i holds image ``order[i]``.
        inverse: (W * n,) int64, the inverse permutation.
    """

    order: Tensor
    inverse: Tensor

    @classmethod
    def draw(cls, count: int, seed: int, device: torch.device | None = None) -> "BatchShuffle":
        """Draws the order of ``count`` images of every process, a function of ``seed`` alone.

        Args:
            count: Number of images n of each process.
            seed: The same in every process.
            device: Device of the tensors to be exchanged, None for the CPU. The order is copied there once.
        """
        generator = torch.Generator().manual_seed(seed)
        # Every process draws the same permutation from the common seed, so it need not be broadcast.
        order = torch.randperm(count * comm.get_world_size(), generator=generator)
        both = torch.stack([order, order.argsort()])
        return cls(*(both if device is None else copy_to_device(both, device)))

    def shuffle(self, x: Tensor) -> Tensor:
        """Exchanges (n, ...) of every process; returns this process's (n, ...) of the new order."""
        return self._share(gather_ranks(x), self.order)

    def unshuffle(self, x: Tensor) -> Tensor:
        """Undoes :meth:`shuffle` on results (n, ...): returns those of this process's own images."""
        return self._share(gather_ranks(x), self.inverse)

    @staticmethod
    def _share(gathered: Tensor, order: Tensor) -> Tensor:
        return gathered[order.chunk(comm.get_world_size())[comm.get_rank()]]


_SEED = 0  # of a queue's initial keys, which must be the same in every process


class KeyQueue(nn.Module):
    """A ring buffer of the last ``size`` keys; checkpoints hold the keys and the next position."""

    def __init__(self, size: int, dim: int):
        """
        Args:
            size: Capacity; the queue starts full of random keys.
            dim: Width of a key.
        """
        super().__init__()
        start = torch.randn(size, dim, generator=torch.Generator().manual_seed(_SEED))
        self.keys: Tensor
        self.cursor: Tensor
        self.register_buffer("keys", F.normalize(start, dim=1))
        self.register_buffer("cursor", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def push(self, keys: Tensor) -> None:
        """Replaces the oldest keys without synchronizing with the host.

        Args:
            keys: (n, dim) float, n at most the queue's size; the same in every process.

        Raises:
            InputError: If there are more keys than the queue holds.
        """
        size = len(self.keys)
        if len(keys) > size:
            raise InputError(f"queue_size {size} is smaller than a batch of {len(keys)}: raise it.")
        places = (self.cursor + torch.arange(len(keys), device=keys.device)) % size
        self.keys.index_copy_(0, places, keys.detach().to(self.keys.dtype))
        self.cursor.add_(len(keys)).remainder_(size)


class MomentumCopy(nn.Module):
    """A copy of a module whose parameters are an exponential moving average of it, without gradients.

    The copy's tensors have names without dots (``bottom_up/stem/conv1/weight``). When a backbone's file is
    matched by the ends of names (Detectron2's ``matching_heuristics``), it must match the source only:
    matching source and copy would be an error.
    """

    def __init__(self, source: nn.Module, momentum: float):
        """
        Args:
            source: The module to copy; no reference is kept.
            momentum: Fraction of the average that a step keeps, in [0, 1].
        """
        super().__init__()
        self.momentum = momentum
        # A tuple hides it from nn.Module: it provides the structure, this module owns the tensors.
        self._structure = (copy.deepcopy(source).to("meta").train(),)
        for name, value in source.named_parameters():
            self.register_parameter(_store_name(name), nn.Parameter(value.detach().clone(), False))
        for name, buffer in source.named_buffers():
            self.register_buffer(_store_name(name), buffer.clone())

    @torch.no_grad()
    def forward(self, *args, **kwargs):
        """Runs the copy in training mode: batch normalization takes its statistics from the batch."""
        structure = self._structure[0]
        names = [name for name, _ in [*structure.named_parameters(), *structure.named_buffers()]]
        tensors = {name: getattr(self, _store_name(name)) for name in names}
        return functional_call(structure, tensors, args, kwargs)

    @torch.no_grad()
    def update(self, source: nn.Module) -> None:
        """Moves the parameters toward the source's; the copy keeps its own statistics in buffers."""
        averages, current = self._pairs(source.named_parameters())
        torch._foreach_lerp_(averages, current, 1 - self.momentum)

    @torch.no_grad()
    def restart(self, source: nn.Module) -> None:
        """Copies the source's parameters and buffers."""
        torch._foreach_copy_(*self._pairs([*source.named_parameters(), *source.named_buffers()]))

    def _pairs(self, named: Iterable[tuple[str, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
        named = list(named)
        return [getattr(self, _store_name(name)) for name, _ in named], [value for _, value in named]


def _store_name(name: str) -> str:
    return name.replace(".", "/")
