"""Communication: in one process everything is immediate; with two it is exchanged (gloo)."""

import multiprocessing
import os

import pytest
import torch
import torch.distributed as dist

from detectron2.utils import comm


def test_one_process():
    assert (comm.get_world_size(), comm.get_rank(), comm.get_local_rank()) == (1, 0, 0)
    assert comm.get_local_size() == 1 and comm.is_main_process()
    comm.synchronize()
    assert comm.all_gather({"a": 1}) == comm.gather({"a": 1}) == [{"a": 1}]
    assert 0 <= comm.shared_random_seed() < 2**31


def exchange(rank, rendezvous, results):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    comm.create_local_process_group(1)  # two machines of one process
    report = {
        "rank": comm.get_rank(),
        "local": (comm.get_local_rank(), comm.get_local_size()),
        "main": comm.is_main_process(),
        "all_gather": comm.all_gather("x" * (rank + 1)),
        "gather": comm.gather(rank, dst=1),
        "seed": comm.shared_random_seed(),
    }
    comm.synchronize()
    results.put(report)
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    context = multiprocessing.get_context("spawn")
    rendezvous, results = tmp_path_factory.mktemp("comm") / "rendezvous", context.Queue()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    workers = [context.Process(target=exchange, args=(rank, rendezvous, results)) for rank in (0, 1)]
    for worker in workers:
        worker.start()
    found = sorted((results.get(timeout=120) for _ in workers), key=lambda report: report["rank"])
    for worker in workers:
        worker.join(timeout=60)
        assert worker.exitcode == 0
    return found


def test_two_processes(reports):
    first, second = reports
    assert [r["local"] for r in reports] == [(0, 1), (0, 1)]
    assert (first["main"], second["main"]) == (True, False)
    assert first["all_gather"] == second["all_gather"] == ["x", "xx"]
    assert (first["gather"], second["gather"]) == ([], [0, 1])
    assert first["seed"] == second["seed"]
