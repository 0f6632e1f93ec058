"""Small dataset wrappers: a list, a mapped dataset, a dataset driven by a sampler, batches by shape."""

import copy
import itertools
import logging
import pickle
import random
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.utils import data

from detectron2.utils.logger import log_first_n

_RETRIES_BEFORE_WARNING = 3


class _SerializedList:
    """A list pickled into one tensor.

    Worker processes then share its memory: reading an element touches no reference counts, so
    nothing is copied on write.
    """

    def __init__(self, items: list):
        pickled = [np.frombuffer(pickle.dumps(x, protocol=-1), dtype=np.uint8) for x in items]
        ends = np.cumsum([len(x) for x in pickled], dtype=np.int64)
        self._ends = torch.from_numpy(ends)
        self._bytes = torch.from_numpy(np.concatenate(pickled) if pickled else np.zeros(0, np.uint8))

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int):
        start = 0 if index == 0 else self._ends[index - 1].item()
        return pickle.loads(memoryview(self._bytes[start : self._ends[index].item()].numpy()))


class DatasetFromList(data.Dataset):
    """A list as a map-style dataset.

    Args:
        lst: the elements.
        copy: hand out deep copies, so that a mapper may change what it gets.
        serialize: True keeps the list pickled in one block that worker processes share; a function
            makes a stand-in for the list; False keeps the list.
    """

    def __init__(self, lst: list, copy: bool = True, serialize: bool | Callable = True):
        self._copy = copy
        self._serialized = bool(serialize)
        if callable(serialize):
            self._lst = serialize(lst)
        else:
            self._lst = _SerializedList(lst) if serialize else lst

    def __len__(self) -> int:
        return len(self._lst)

    def __getitem__(self, index: int):
        item = self._lst[index]
        return copy.deepcopy(item) if self._copy and not self._serialized else item


class _MappedIterable(data.IterableDataset):
    """Maps the elements of an iterable; those mapped to None are left out."""

    def __init__(self, dataset, map_func: Callable):
        self._dataset = dataset
        self._map_func = map_func

    def __len__(self) -> int:
        return len(self._dataset)

    def __iter__(self) -> Iterator:
        return (y for y in map(self._map_func, self._dataset) if y is not None)


class MapDataset(data.Dataset):
    """Applies a function to every element of a dataset.

    Where the function returns None, another random element takes the place (in an iterable dataset:
    the element is left out).

    Args:
        dataset: map-style or iterable dataset.
        map_func: element -> anything, or None to refuse the element.
    """

    def __new__(cls, dataset, map_func):
        if isinstance(dataset, data.IterableDataset):
            return _MappedIterable(dataset, map_func)
        return super().__new__(cls)

    def __init__(self, dataset, map_func):
        self._dataset = dataset
        self._map_func = map_func
        self._rng = random.Random(42)
        self._fallback_candidates = set(range(len(dataset)))

    def __getnewargs__(self):
        return self._dataset, self._map_func

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int):
        index = int(index)
        failures = 0
        while True:
            mapped = self._map_func(self._dataset[index])
            if mapped is not None:
                self._fallback_candidates.add(index)
                return mapped
            failures += 1
            self._fallback_candidates.discard(index)
            if not self._fallback_candidates:
                raise RuntimeError(
                    f"The mapper refused (returned None for) every element it was tried on, "
                    f"the last being {index} of {len(self)}."
                )
            if failures >= _RETRIES_BEFORE_WARNING:
                log_first_n(
                    logging.WARNING,
                    f"The mapper refused {failures} elements in a row; the last: {index}.",
                    name=__name__,
                )
            index = self._rng.choice(sorted(self._fallback_candidates))


class ToIterableDataset(data.IterableDataset):
    """Elements of a map-style dataset in the order of a sampler.

    Args:
        dataset: map-style dataset.
        sampler: yields indices; may be endless.
        shard_sampler: let each worker process of a DataLoader take its own share of the indices.
            False when the sampler does that itself.
        shard_chunk_size: how many neighbouring indices go to the same worker.
    """

    def __init__(
        self,
        dataset: data.Dataset,
        sampler: data.Sampler,
        shard_sampler: bool = True,
        shard_chunk_size: int = 1,
    ):
        assert not isinstance(dataset, data.IterableDataset), "The dataset is iterable already."
        self.dataset = dataset
        self.sampler = sampler
        self.shard_sampler = shard_sampler
        self.shard_chunk_size = shard_chunk_size

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator:
        worker = data.get_worker_info()
        if worker is None or not self.shard_sampler:
            indices = iter(self.sampler)
        else:
            indices = _worker_share(self.sampler, self.shard_chunk_size, worker.id, worker.num_workers)
        return (self.dataset[i] for i in indices)


def _worker_share(sampler, chunk_size: int, worker_id: int, num_workers: int) -> Iterator[int]:
    """Every `num_workers`-th chunk of indices, starting with chunk `worker_id`."""
    indices = iter(sampler)
    for chunk_id in itertools.count():
        chunk = list(itertools.islice(indices, chunk_size))
        if not chunk:
            return
        if chunk_id % num_workers == worker_id:
            yield from chunk


class AspectRatioGroupedDataset(data.IterableDataset):
    """Batches in which all images are wide, or all are tall, so that padding wastes less.

    Args:
        dataset: iterable over dicts with "width" and "height".
        batch_size: elements per batch. A batch comes out when it is full; what is left over when the
            dataset ends does not come out.
    """

    def __init__(self, dataset, batch_size: int):
        self.dataset = dataset
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[list[dict]]:
        waiting: dict[bool, list[dict]] = {True: [], False: []}
        for element in self.dataset:
            group = waiting[element["width"] > element["height"]]
            group.append(element)
            if len(group) == self.batch_size:
                batch = group[:]
                group.clear()
                yield batch
