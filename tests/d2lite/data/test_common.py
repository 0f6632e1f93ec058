import pytest
import torch

from detectron2.data import DatasetFromList


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
