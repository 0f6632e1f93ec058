"""Instances: fields of one length, read as attributes."""

import copy
import pickle

import pytest
import torch

from detectron2.structures import BitMasks, Boxes, Instances


def make(count=5):
    return Instances(
        (30, 40),
        scores=torch.arange(count, dtype=torch.float32),
        names=[f"n{i}" for i in range(count)],
        boxes=Boxes(torch.zeros(count, 4)),
        masks=BitMasks(torch.zeros(count, 30, 40)),
    )


def test_fields():
    instances = make()
    assert len(instances) == 5 and instances.image_size == (30, 40)
    assert instances.has("scores") and not instances.has("classes")
    assert instances.get("scores") is instances.scores is instances.get_fields()["scores"]
    instances.remove("scores")
    with pytest.raises(AttributeError, match="Cannot find field 'scores'"):
        instances.scores  # noqa: B018
    with pytest.raises(AssertionError, match="length 3"):
        instances.classes = torch.zeros(3)


def test_without_fields_there_is_no_length():
    with pytest.raises(NotImplementedError):
        len(Instances((3, 4)))
    with pytest.raises(NotImplementedError):
        iter(make())


@pytest.mark.parametrize(
    "item, expected",
    [
        (-1, [4]),
        (slice(1, 3), [1, 2]),
        (torch.tensor([3, 0]), [3, 0]),
        (torch.tensor([True, False, False, False, True]), [0, 4]),
        (torch.zeros(5, dtype=torch.bool), []),
        (torch.zeros(0, dtype=torch.int64), []),
    ],
)
def test_indexing(item, expected):
    instances = make()
    if not isinstance(item, (int, slice)):
        instances.remove("names")  # lists take no tensors
    selected = instances[item]
    assert selected.scores.tolist() == expected and len(selected) == len(expected)
    assert len(selected.boxes) == len(selected.masks) == len(expected)
    assert selected.image_size == (30, 40)


def test_index_out_of_range():
    with pytest.raises(IndexError):
        make()[5]


def test_cat():
    joined = Instances.cat([make(2), make(0), make(1)])
    assert len(joined) == 3 and joined.names == ["n0", "n1", "n0"]
    assert joined.masks.tensor.shape == (3, 30, 40)
    only = make(2)
    assert Instances.cat([only]) is only
    with pytest.raises(AssertionError):
        Instances.cat([make(1), Instances((3, 4), scores=torch.zeros(1))])
    with pytest.raises(ValueError, match="Unsupported type"):
        Instances.cat([Instances((1, 1), x="ab"), Instances((1, 1), x="cd")])


def test_to_copies_pickles_and_prints():
    instances = make(2)
    moved = instances.to("cpu")
    assert moved is not instances and moved.names == instances.names
    for again in (copy.deepcopy(instances), pickle.loads(pickle.dumps(instances))):
        assert again.scores.tolist() == [0, 1] and again.image_size == (30, 40)
    assert "num_instances=2" in str(instances) and "scores" in repr(instances)
