"""Averaging over processes, alone and in two of which one has nothing."""

import tempfile

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from solo_d2.losses import average_over_ranks


def test_alone_nothing_changes():
    value = torch.tensor(3.0)
    assert average_over_ranks(value) is value


def run_rank(rank: int, address: str, queue) -> None:
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    own = torch.tensor(6.0 * rank)
    queue.put((rank, float(average_over_ranks(own)), float(own)))
    dist.destroy_process_group()


def test_two_processes():
    context = mp.get_context("spawn")
    queue = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        address = f"file://{folder}/store"
        mp.spawn(run_rank, args=(address, queue), nprocs=2)
        results = sorted(queue.get() for _ in range(2))
    assert results == [(0, 3.0, 0.0), (1, 3.0, 6.0)]
