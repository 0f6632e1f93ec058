"""Both sampling rules against loops, in a fixed number of slots."""

from functools import partial

import pytest
import torch

from solo_d2.config import get_cfg
from solo_d2.methods.condinst.points import PointTargets
from solo_d2.methods.condinst.targets import PositiveSampler
from solo_d2.utils.settings import build as build_part

make_sampler = partial(build_part, PositiveSampler, get_cfg(), "MODEL.CONDINST")

NUM_POINTS = 200


def make_targets(owners: list[list[int]]) -> PointTargets:
    """Targets whose image i has the given owner of its first locations and background elsewhere."""
    owner = torch.full((len(owners), NUM_POINTS), -1)
    for row, values in zip(owner, owners, strict=True):
        row[: len(values)] = torch.tensor(values, dtype=torch.int64)
    instances = [len(set(values)) for values in owners]
    return PointTargets(
        labels=torch.where(owner >= 0, 0, 1),
        owner=owner,
        distances=torch.ones(*owner.shape, 4),
        max_positives=max(map(len, owners)),
        max_instances=max(instances),
    )


def chosen(index, filled, image: int) -> list[int]:
    found = index[image][filled[image]].tolist()
    assert len(found) == len(set(found))
    return sorted(found)


def best_by_loops(owner, scores, limit: int) -> list[int]:
    instances = sorted(set(owner[owner >= 0].tolist()))
    quota = max(limit // max(len(instances), 1), 1)
    kept = []
    for instance in instances:
        own = (owner == instance).nonzero().squeeze(1).tolist()
        kept += sorted(own, key=lambda i: -float(scores[i]))[:quota]
    return sorted(kept)


@pytest.mark.parametrize("limit", [64, 12, 5, 1])
def test_best_positives_of_every_instance(limit):
    generator = torch.Generator().manual_seed(0)
    owners = [[0] * 30 + [1] * 2 + [2] * 9, [], [5] * 3 + [3] * 20 + list(range(6, 26))]
    targets = make_targets(owners)
    order = torch.randperm(NUM_POINTS, generator=generator)
    targets = PointTargets(targets.labels, targets.owner[:, order], targets.distances, 43, 22)
    scores = torch.rand(3, NUM_POINTS, generator=generator)
    index, filled = make_sampler(topk_proposals_per_im=limit)(targets, scores)
    assert index.shape == filled.shape == (3, filled.sum(1).max()), "on a CPU no slot is wasted"
    for image in range(3):
        expected = best_by_loops(targets.owner[image], scores[image], limit)
        assert chosen(index, filled, image) == expected


def test_random_positives_of_the_batch():
    targets = make_targets([[0] * 50, [1] * 30, []])
    scores = torch.rand(3, NUM_POINTS)
    everything = make_sampler(max_proposals=500)(targets, scores)
    assert chosen(*everything, 0) == list(range(50)) and chosen(*everything, 1) == list(range(30))
    torch.manual_seed(0)
    drawn = set()
    for _ in range(5):
        index, filled = make_sampler(max_proposals=20)(targets, scores)
        assert index.shape == filled.shape and filled.sum() == 20 and not filled[2].any()
        assert (targets.owner.gather(1, index)[filled] >= 0).all()
        drawn.add(tuple(chosen(index, filled, 0)))
    assert len(drawn) == 5


def test_all_positives():
    targets = make_targets([[0] * 7, [1] * 90])
    index, filled = make_sampler(max_proposals=-1, topk_proposals_per_im=-1)(targets, torch.rand(2, 200))
    assert chosen(index, filled, 0) == list(range(7)) and chosen(index, filled, 1) == list(range(90))


@pytest.mark.parametrize("sampler", [make_sampler(), make_sampler(max_proposals=500)])
def test_nothing_to_choose(sampler):
    index, filled = sampler(make_targets([[], []]), torch.rand(2, NUM_POINTS))
    assert index.shape == filled.shape == (2, 0)
