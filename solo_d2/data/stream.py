"""The order of training samples: an endless stream of indices, batched without reading images.

A sample's position is its place in the stream of all ranks together. Batches can be skipped by
replaying indices, and whatever is random about a sample is seeded by its position, so that where a
run resumed and how many worker processes read the images cannot change what is trained on.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class StreamItem:
    """One sample to be read.

    Attributes:
        position: in the stream of all ranks together, from 0.
        index: into the data set.
    """

    position: int
    index: int


class BatchStream:
    """Endless batches of one rank's :class:`StreamItem`, optionally of one orientation each."""

    def __init__(
        self,
        make_sampler: Callable[[], Iterable[int]],
        batch_size: int,
        rank: int,
        world_size: int,
        groups: Sequence[int] | None = None,
        skip: int = 0,
    ):
        """
        Args:
            make_sampler: makes an endless sampler that yields this rank's indices, which are every
                ``world_size``-th of all ranks' indices from ``rank`` on.
            batch_size: of this rank.
            rank: of this process.
            world_size: number of processes.
            groups: per data set index, the group whose samples share a batch; None for no grouping.
            skip: batches to leave out at the start.
        """
        self._make_sampler = make_sampler
        self._batch_size = batch_size
        self._rank = rank
        self._world_size = world_size
        self._groups = groups
        self._skip = skip

    def __iter__(self) -> Iterator[list[StreamItem]]:
        for number, batch in enumerate(self._batches()):
            if number >= self._skip:
                yield batch

    def _batches(self) -> Iterator[list[StreamItem]]:
        open_batches: dict[int, list[StreamItem]] = {}
        for step, index in enumerate(self._make_sampler()):
            index = int(index)
            group = 0 if self._groups is None else self._groups[index]
            batch = open_batches.setdefault(group, [])
            batch.append(StreamItem(step * self._world_size + self._rank, index))
            if len(batch) == self._batch_size:
                yield open_batches.pop(group)


@contextmanager
def seeded_by_position(seed: int, position: int) -> Iterator[None]:
    """Seeds ``random``, numpy and torch (CPU) from a position, and puts them back after.

    Args:
        seed: of the run.
        position: of the sample.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    numbers = np.random.SeedSequence([seed, position]).generate_state(3)
    random.seed(int(numbers[0]))
    np.random.seed(numbers[1])
    torch.default_generator.manual_seed(int(numbers[2]))
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
