import torch
import torch.distributed as dist

from detectron2.engine import launch
from detectron2.utils import comm


def report(folder, word):
    gathered = comm.all_gather(comm.get_rank())
    (folder / f"rank{comm.get_rank()}").write_text(
        f"{word} {comm.get_world_size()} {comm.get_local_rank()} "
        f"{gathered} {dist.get_backend() if dist.is_initialized() else 'alone'}"
    )
    comm.synchronize()


def test_one_process_is_a_plain_call(tmp_path):
    launch(report, 1, args=(tmp_path, "hello"))
    assert (tmp_path / "rank0").read_text() == "hello 1 0 [0] alone"


def test_two_processes(tmp_path):
    if torch.cuda.is_available() and torch.cuda.device_count() < 2:
        import pytest

        pytest.skip("needs two GPUs, or none")
    launch(report, 2, dist_url="auto", args=(tmp_path, "hello"))
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    for rank in (0, 1):
        assert (tmp_path / f"rank{rank}").read_text() == f"hello 2 {rank} [0, 1] {backend}"
