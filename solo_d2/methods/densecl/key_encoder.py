"""MoCo's key encoder: a momentum copy, a queue of its keys, and batches shuffled over the processes.

He et al., "Momentum Contrast", https://arxiv.org/abs/1911.05722. n: images of one process; W: processes.

Keys are encoded in a shuffled order (section 3.3 there): if a query and its key were normalized among the
same other images, the batch statistics would tell which key belongs to which query.
"""

import copy
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


_SEED = 0  # of the keys a queue starts with: the same in every process


class KeyQueue(nn.Module):
    """The last ``size`` keys, oldest overwritten first; saved in checkpoints with the place of the next."""

    def __init__(self, size: int, dim: int):
        """
        Args:
            size: Keys it holds; it starts full of random ones.
            dim: Width of a key.
        """
        super().__init__()
        start = torch.randn(size, dim, generator=torch.Generator().manual_seed(_SEED))
        self.register_buffer("keys", F.normalize(start, dim=1))
        self.register_buffer("cursor", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def push(self, keys: Tensor) -> None:
        """Replaces the oldest keys, without a word to the host.

        Args:
            keys: (n, dim) float, n at most the queue's size; the same in every process.

        Raises:
            InputError: If they are more than the queue holds.
        """
        size = len(self.keys)
        if len(keys) > size:
            raise InputError(f"queue_size {size} is smaller than a batch of {len(keys)}: raise it.")
        places = (self.cursor + torch.arange(len(keys), device=keys.device)) % size
        self.keys.index_copy_(0, places, keys.detach().to(self.keys.dtype))
        self.cursor.add_(len(keys)).remainder_(size)


class MomentumCopy(nn.Module):
    """Runs as its source would with parameters averaged over the steps; nothing here gets gradients.

    The copy's tensors are stored under names without dots (``bottom_up/stem/conv1/weight``). Where names are
    matched by their ends (Detectron2's ``matching_heuristics``) a backbone's file therefore matches the
    source alone, not source and copy, which would be an error.
    """

    def __init__(self, source: nn.Module, momentum: float):
        """
        Args:
            source: What is copied. Not kept.
            momentum: Part of the average that a step keeps, in [0, 1].
        """
        super().__init__()
        self.momentum = momentum
        # In a tuple, and therefore no submodule: it has the structure, this module has the tensors.
        self._structure = (copy.deepcopy(source).to("meta").train(),)
        for name, value in source.named_parameters():
            self.register_parameter(_store_name(name), nn.Parameter(value.detach().clone(), False))
        for name, value in source.named_buffers():
            self.register_buffer(_store_name(name), value.clone())

    @torch.no_grad()
    def forward(self, *args, **kwargs):
        """Runs the copy in training mode: batch normalization takes its statistics from the batch."""
        structure = self._structure[0]
        names = [name for name, _ in [*structure.named_parameters(), *structure.named_buffers()]]
        tensors = {name: getattr(self, _store_name(name)) for name in names}
        return functional_call(structure, tensors, args, kwargs)

    @torch.no_grad()
    def update(self, source: nn.Module) -> None:
        """Moves the parameters towards the source's; statistics in buffers are the copy's own."""
        averages, current = self._pairs(source.named_parameters())
        torch._foreach_lerp_(averages, current, 1 - self.momentum)

    @torch.no_grad()
    def restart(self, source: nn.Module) -> None:
        """Makes parameters and buffers equal to the source's."""
        torch._foreach_copy_(*self._pairs([*source.named_parameters(), *source.named_buffers()]))

    def _pairs(self, named: list[tuple[str, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
        named = list(named)
        return [getattr(self, _store_name(name)) for name, _ in named], [value for _, value in named]


def _store_name(name: str) -> str:
    return name.replace(".", "/")
