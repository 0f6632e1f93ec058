"""A list as a dataset whose memory worker processes share."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils import data


class _SerializedList:
    """A list pickled into one tensor.

    Worker processes share its memory: reading an element changes no reference count, so no page is
    copied on write.
    """

    def __init__(self, items: list):
        pickled = [np.frombuffer(pickle.dumps(x, protocol=-1), dtype=np.uint8) for x in items]
        ends = np.cumsum([len(x) for x in pickled], dtype=np.int64)
        self._ends = torch.from_numpy(ends)
        self._bytes = torch.from_numpy(np.concatenate(pickled) if pickled else np.zeros(0, np.uint8))

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> Any:
        start = 0 if index == 0 else self._ends[index - 1].item()
        return pickle.loads(self._bytes[start : self._ends[index].item()].numpy().data)


class DatasetFromList(data.Dataset):
    """A list as a map-style dataset.

    Args:
        lst: The elements.
        copy: Return deep copies, so that a mapper may change its input.
        serialize: True keeps the list pickled in one block that worker processes share; a function
            converts the list to a replacement; False keeps the list.
    """

    def __init__(self, lst: list, copy: bool = True, serialize: bool | Callable = True):
        self._copy = copy
        self._serialized = bool(serialize)
        self._lst: Any = lst
        if callable(serialize):
            self._lst = serialize(lst)
        elif serialize:
            self._lst = _SerializedList(lst)

    def __len__(self) -> int:
        return len(self._lst)

    def __getitem__(self, index: int) -> Any:
        item = self._lst[index]
        return copy.deepcopy(item) if self._copy and not self._serialized else item
