"""The exchange between processes, alone and in two."""

import tempfile

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from solo_d2.methods.densecl import key_encoder as batch_shuffle
from solo_d2.methods.densecl.key_encoder import BatchShuffle, gather_ranks
from solo_d2.utils.device import copy_to_device

COUNT = 6


def test_alone_the_order_changes_and_comes_back():
    values = torch.arange(COUNT * 2).view(COUNT, 2)
    assert gather_ranks(values) is values
    exchange = BatchShuffle.draw(COUNT, seed=3)
    shuffled = exchange.shuffle(values)
    assert sorted(shuffled.tolist()) == values.tolist()
    assert torch.equal(exchange.unshuffle(shuffled), values)


def test_the_order_is_sent_to_the_device_once(monkeypatch):
    sent = []

    def copy_and_note(values, device):
        sent.append(device.type)
        return copy_to_device(values, device)

    monkeypatch.setattr(batch_shuffle, "copy_to_device", copy_and_note)
    exchange = BatchShuffle.draw(COUNT, seed=3, device=torch.device("meta"))
    assert exchange.order.device.type == exchange.inverse.device.type == "meta" and sent == ["meta"]
    values = torch.empty(COUNT, 2, device="meta")
    with monkeypatch.context() as patch:  # nothing moves any more
        patch.setattr(torch.Tensor, "to", None)
        assert exchange.unshuffle(exchange.shuffle(values)).shape == values.shape


def run_rank(rank: int, address: str, queue) -> None:
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    views = torch.arange(COUNT * 3 * 2 * 2, dtype=torch.uint8).view(COUNT, 3, 2, 2) + 100 * rank
    views = views.contiguous(memory_format=torch.channels_last)
    exchange = BatchShuffle.draw(COUNT, seed=7)
    mine = exchange.shuffle(views)
    encoded = mine.float().mean((2, 3))  # what an encoder without batch statistics would do
    back = exchange.unshuffle(encoded)
    strangers = int((mine[:, 0, 0, 0].long() // 100 != rank).sum())
    queue.put(
        (
            rank,
            exchange.order.tolist(),
            mine[:, 0, 0, 0].tolist(),
            strangers,
            torch.equal(back, views.float().mean((2, 3))),
            gather_ranks(torch.tensor([[float(rank)]])).tolist(),
        )
    )
    dist.destroy_process_group()


def test_two_processes():
    context = mp.get_context("spawn")
    queue = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(run_rank, args=(f"file://{folder}/store", queue), nprocs=2)
        first, second = sorted(queue.get() for _ in range(2))
    everything = [12 * i + 100 * rank for rank in range(2) for i in range(COUNT)]
    order = first[1]
    assert order == second[1] and sorted(order) == list(range(2 * COUNT))
    assert first[2] + second[2] == [everything[i] for i in order]
    assert 0 < first[3] == second[3]  # images did change places
    assert first[4] and second[4]
    assert first[5] == second[5] == [[0.0], [1.0]]
