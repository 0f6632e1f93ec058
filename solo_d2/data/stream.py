"""The order of training samples: an endless stream of indices, batched without reading images.

A sample's position is its index in the stream of all ranks together. Batches are skipped by replaying
indices, and a sample's randomness is seeded by its position. So neither resuming nor the number of worker
processes changes the samples.
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
        position: Index in the stream of all ranks together, from 0.
        index: Index into the data set.
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
            make_sampler: Returns an endless sampler of this rank's indices: every ``world_size``-th of all
                ranks' indices, starting at ``rank``.
            batch_size: Batch size of this rank.
            rank: Rank of this process.
            world_size: Number of processes.
            groups: Group of each data set index; a batch has samples of one group. None: no grouping.
            skip: Number of batches to skip at the start.
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
            # Ranks take turns in the common stream, so positions are unique over all ranks.
            batch.append(StreamItem(step * self._world_size + self._rank, index))
            if len(batch) == self._batch_size:
                yield open_batches.pop(group)


@contextmanager
def seeded_by_position(seed: int, position: int) -> Iterator[None]:
    """Seeds ``random``, numpy and torch (CPU) from a position, and restores their states afterwards.

    Args:
        seed: Seed of the run.
        position: Position of the sample.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    # SeedSequence mixes both numbers, so neighboring positions have unrelated seeds.
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
