import random
from itertools import cycle, islice

import numpy as np
import pytest
import torch

from solo_d2.data.stream import BatchStream, StreamItem, seeded_by_position


def test_batches_are_in_order_and_positions_count_all_ranks():
    batches = list(islice(BatchStream(lambda: cycle([4, 5, 6]), 2, rank=1, world_size=3), 2))
    assert batches == [[StreamItem(1, 4), StreamItem(4, 5)], [StreamItem(7, 6), StreamItem(10, 4)]]


def test_grouped_batches_are_of_one_group_and_lose_nothing():
    groups = [0, 1, 0, 0, 1]
    stream = BatchStream(lambda: cycle(range(5)), 2, 0, 1, groups=groups)
    batches = list(islice(stream, 50))
    assert all(len({groups[item.index] for item in batch}) == 1 for batch in batches)
    positions = sorted(item.position for batch in batches for item in batch)
    assert len(set(positions)) == 100 and max(positions) < 102


@pytest.mark.parametrize("groups", [None, [0, 1, 0, 1, 1]])
@pytest.mark.parametrize("skip", [0, 1, 7])
def test_skipping_equals_going_on(groups, skip):
    def stream(start):
        return BatchStream(lambda: cycle([0, 3, 1, 2, 4]), 3, 0, 2, groups=groups, skip=start)

    assert list(islice(stream(0), skip, skip + 5)) == list(islice(stream(skip), 5))


def _draw():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_seeding_depends_on_seed_and_position_and_is_undone():
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    draws = []
    for seed, position in [(1, 2), (1, 2), (1, 3), (2, 2)]:
        with seeded_by_position(seed, position):
            draws.append(_draw())
    assert draws[0] == draws[1]
    assert all(a != b for a, b in zip(draws[0], draws[2], strict=True))
    assert all(a != b for a, b in zip(draws[0], draws[3], strict=True))
    assert random.getstate() == before[0]
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert torch.equal(torch.get_rng_state(), before[2])


def test_seeding_is_undone_after_an_error():
    state = random.getstate()
    with pytest.raises(ZeroDivisionError), seeded_by_position(0, 0):
        random.random()
        raise ZeroDivisionError
    assert random.getstate() == state
