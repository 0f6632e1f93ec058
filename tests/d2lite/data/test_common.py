import pickle

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, Sampler

from detectron2.data import DatasetFromList, MapDataset, ToIterableDataset
from detectron2.data.common import AspectRatioGroupedDataset


class Numbers(IterableDataset):
    def __iter__(self):
        return iter(range(6))


class FixedOrder(Sampler):
    def __init__(self, order):
        self.order = order

    def __iter__(self):
        return iter(self.order)


@pytest.mark.parametrize("serialize", [True, False])
def test_dataset_from_list_hands_out_copies(serialize):
    items = [{"a": [i], "t": torch.tensor(i)} for i in range(5)]
    dataset = DatasetFromList(items, copy=True, serialize=serialize)
    assert len(dataset) == 5
    dataset[3]["a"].append(7)
    assert [x["a"] for x in dataset] == [[0], [1], [2], [3], [4]]
    assert items[3]["a"] == [3]


def test_dataset_from_list_without_copy_is_the_list():
    items = [[0], [1]]
    assert DatasetFromList(items, copy=False, serialize=False)[1] is items[1]


def test_dataset_from_list_accepts_a_serializer():
    assert DatasetFromList([1, 2], serialize=lambda lst: [x * 10 for x in lst])[1] == 20


def test_map_dataset_replaces_refused_elements():
    dataset = MapDataset(DatasetFromList(list(range(10))), lambda x: x if x % 2 else None)
    assert len(dataset) == 10
    assert all(dataset[i] % 2 == 1 for i in range(10))
    assert dataset[3] == 3


def test_map_dataset_in_workers_and_pickled():
    dataset = MapDataset(DatasetFromList([1, 2, 3]), abs)
    assert list(pickle.loads(pickle.dumps(dataset))) == [1, 2, 3]


def test_map_dataset_over_iterable_leaves_refused_elements_out():
    dataset = MapDataset(Numbers(), lambda x: x * 10 if x != 2 else None)
    assert isinstance(dataset, IterableDataset)
    assert list(dataset) == [0, 10, 30, 40, 50]


def test_to_iterable_dataset_follows_the_sampler():
    dataset = ToIterableDataset(DatasetFromList(["a", "b", "c"]), FixedOrder([2, 0, 2]))
    assert list(dataset) == ["c", "a", "c"]


@pytest.mark.parametrize("chunk", [1, 2])
def test_to_iterable_dataset_shares_the_sampler_among_workers(chunk):
    order = [4, 1, 0, 3, 2, 5, 6]
    items, sampler = DatasetFromList(list(range(7))), FixedOrder(order)
    shared = ToIterableDataset(items, sampler, shard_chunk_size=chunk)
    assert sorted(DataLoader(shared, batch_size=None, num_workers=2)) == sorted(order)
    whole = ToIterableDataset(items, sampler, shard_sampler=False)
    assert sorted(DataLoader(whole, batch_size=None, num_workers=2)) == sorted(order * 2)


def test_aspect_ratio_groups():
    sizes = [(2, 1), (1, 2), (3, 1), (1, 1), (5, 4), (1, 9)]
    elements = [{"width": w, "height": h, "id": i} for i, (w, h) in enumerate(sizes)]
    batches = list(AspectRatioGroupedDataset(elements, 2))
    assert [[x["id"] for x in batch] for batch in batches] == [[0, 2], [1, 3]]
