from collections import Counter
from itertools import islice

import pytest
import torch

from detectron2.data.samplers import InferenceSampler, RepeatFactorTrainingSampler, TrainingSampler
from detectron2.utils import comm


@pytest.fixture
def as_process(monkeypatch):
    """Returns a function that pretends to be one process of several."""

    def pretend(rank, world_size):
        monkeypatch.setattr(comm, "get_rank", lambda: rank)
        monkeypatch.setattr(comm, "get_world_size", lambda: world_size)

    return pretend


def reference_stream(size, seed, epochs):
    generator = torch.Generator()
    generator.manual_seed(seed)
    return [i for _ in range(epochs) for i in torch.randperm(size, generator=generator).tolist()]


def test_training_sampler_shuffles_each_epoch_anew():
    stream = list(islice(TrainingSampler(7, seed=3), 21))
    assert stream == reference_stream(7, 3, 3)
    assert all(sorted(stream[i : i + 7]) == list(range(7)) for i in (0, 7, 14))


def test_training_sampler_in_order():
    assert list(islice(TrainingSampler(3, shuffle=False, seed=0), 7)) == [0, 1, 2, 0, 1, 2, 0]


def test_training_sampler_divides_one_stream(as_process):
    parts = []
    for rank in range(3):
        as_process(rank, 3)
        parts.append(list(islice(TrainingSampler(5, seed=1), 5)))
    merged = [parts[i % 3][i // 3] for i in range(15)]
    assert merged == reference_stream(5, 1, 3)


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError)])
def test_training_sampler_refuses_sizes(size, error):
    with pytest.raises(error):
        TrainingSampler(size)


def test_repeat_factors_by_hand():
    classes = [[0, 0], [0], [0, 1], []]
    dicts = [{"annotations": [{"category_id": c} for c in cs]} for cs in classes]
    factors = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency
    expected = torch.tensor([1.0, 1.0, 2.0**0.5, 1.0])
    torch.testing.assert_close(factors(dicts, 0.5), expected)
    torch.testing.assert_close(factors(dicts, 0.5, sqrt=False), torch.tensor([1.0, 1.0, 2.0, 1.0]))
    assert factors(dicts, 0.0).tolist() == [1.0] * 4


def test_repeat_factor_sampler_frequencies():
    sampler = RepeatFactorTrainingSampler(torch.tensor([1.0, 2.0, 1.5]), seed=5)
    counts = Counter(islice(sampler, 45_000))
    assert counts[1] / counts[0] == pytest.approx(2, rel=0.02)
    assert counts[2] / counts[0] == pytest.approx(1.5, rel=0.02)


def test_repeat_factor_sampler_in_order():
    sampler = RepeatFactorTrainingSampler(torch.tensor([1.0, 3.0]), shuffle=False, seed=5)
    assert list(islice(sampler, 8)) == [0, 1, 1, 1, 0, 1, 1, 1]


@pytest.mark.parametrize(("size", "world_size"), [(1, 1), (7, 3), (2, 5), (10, 5)])
def test_inference_sampler_covers_everything_once(as_process, size, world_size):
    parts = []
    for rank in range(world_size):
        as_process(rank, world_size)
        sampler = InferenceSampler(size)
        parts.append(list(sampler))
        assert len(sampler) == len(parts[-1])
    assert sum(parts, []) == list(range(size))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
