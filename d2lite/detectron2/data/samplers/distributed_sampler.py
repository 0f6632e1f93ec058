"""Samplers that divide one stream of indices among processes.

Training streams never end. All processes generate the same stream from a common seed, and each takes
every ``world_size``-th index of it.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterator

import torch
from torch.utils.data.sampler import Sampler

from detectron2.utils import comm


class _EndlessSampler(Sampler):
    """An endless stream of epochs, divided among processes."""

    def __init__(self, shuffle: bool, seed: int | None):
        self._shuffle = shuffle
        self._seed = comm.shared_random_seed() if seed is None else int(seed)
        self._rank = comm.get_rank()
        self._world_size = comm.get_world_size()

    def __iter__(self) -> Iterator[int]:
        yield from itertools.islice(self._indices(), self._rank, None, self._world_size)

    def _indices(self) -> Iterator[int]:
        generator = torch.Generator()
        generator.manual_seed(self._seed)
        while True:
            epoch = self._epoch(generator)
            if self._shuffle:
                epoch = epoch[torch.randperm(len(epoch), generator=generator)]
            yield from epoch.tolist()

    def _epoch(self, generator: torch.Generator) -> torch.Tensor:
        """Returns the indices (n,) int64 of one epoch, not shuffled."""
        raise NotImplementedError


class TrainingSampler(_EndlessSampler):
    """Yields every element once per epoch, endlessly.

    Args:
        size: Number of elements in the dataset.
        shuffle: Whether each epoch has a new order.
        seed: Seed of the order, the same in all processes; None agrees on a random one.

    Raises:
        TypeError: size is not an integer.
        ValueError: size is not positive.
    """

    def __init__(self, size: int, shuffle: bool = True, seed: int | None = None):
        if not isinstance(size, int):
            raise TypeError(f"TrainingSampler(size=) expects an int. Got type {type(size)}.")
        if size <= 0:
            raise ValueError(f"TrainingSampler(size=) expects a positive int. Got {size}.")
        super().__init__(shuffle, seed)
        self._size = size

    def _epoch(self, generator: torch.Generator) -> torch.Tensor:
        return torch.arange(self._size)


class RepeatFactorTrainingSampler(_EndlessSampler):
    """Repeats elements with rare classes (LVIS paper, appendix B.2).

    Args:
        repeat_factors: (N,) float, the average number of repeats per epoch. A fractional part is
            rounded up or down at random in each epoch.
        shuffle: Whether each epoch has a new order.
        seed: Seed of order and rounding, the same in all processes; None agrees on a random one.
    """

    def __init__(self, repeat_factors: torch.Tensor, *, shuffle: bool = True, seed: int | None = None):
        super().__init__(shuffle, seed)
        self._whole = torch.trunc(repeat_factors)
        self._fraction = repeat_factors - self._whole

    @staticmethod
    def repeat_factors_from_category_frequency(
        dataset_dicts: list[dict], repeat_thresh: float, sqrt: bool = True
    ) -> torch.Tensor:
        """Computes a repeat factor per image from its rarest class.

        With f(c) the fraction of images that show class c, the factor of a class is
        r(c) = max(1, sqrt(repeat_thresh / f(c))), that of an image the maximum over its classes.

        Args:
            dataset_dicts: Records with "annotations".
            repeat_thresh: Classes on a smaller fraction of the images are repeated.
            sqrt: Take the square root, as in the paper.

        Returns:
            (len(dataset_dicts),) float32; 1 for images without annotations.
        """
        classes = [{ann["category_id"] for ann in d["annotations"]} for d in dataset_dicts]
        num_images: Counter = Counter(itertools.chain.from_iterable(classes))
        repeat = {}
        for category, count in num_images.items():
            ratio = repeat_thresh / (count / len(dataset_dicts))
            repeat[category] = max(1.0, math.sqrt(ratio) if sqrt else ratio)
        factors = [max((repeat[c] for c in per_image), default=1.0) for per_image in classes]
        return torch.tensor(factors, dtype=torch.float32)

    def _epoch(self, generator: torch.Generator) -> torch.Tensor:
        round_up = torch.rand(len(self._fraction), generator=generator) < self._fraction
        repeats = self._whole.long() + round_up.long()
        return torch.repeat_interleave(torch.arange(len(repeats)), repeats)


class InferenceSampler(Sampler):
    """Yields every element exactly once over all processes, each with one contiguous range.

    The ranges differ in length by at most one, so processes may run different numbers of steps.

    Args:
        size: Number of elements in the dataset.
    """

    def __init__(self, size: int):
        assert size > 0, f"InferenceSampler expects a non-empty dataset, got size {size}."
        rank, world_size = comm.get_rank(), comm.get_world_size()
        share, rest = divmod(size, world_size)
        begin = rank * share + min(rank, rest)
        self._local_indices = range(begin, begin + share + (rank < rest))

    def __iter__(self) -> Iterator[int]:
        yield from self._local_indices

    def __len__(self) -> int:
        return len(self._local_indices)
