"""Thin helpers over ``torch.distributed`` that also work in a single process.

Without an initialized process group there is one process: rank 0, world size 1, and every
collective returns immediately.
"""

import functools
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

_LOCAL_PROCESS_GROUP: Any = None  # processes of this machine; set by create_local_process_group


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def get_world_size() -> int:
    return dist.get_world_size() if _is_distributed() else 1


def get_rank() -> int:
    return dist.get_rank() if _is_distributed() else 0


@functools.cache
def create_local_process_group(num_workers_per_machine: int) -> None:
    """Creates one group per machine; every process must call it after creating the global group.

    Args:
        num_workers_per_machine: Number of processes on each machine, usually its number of GPUs.
    """
    global _LOCAL_PROCESS_GROUP
    assert _LOCAL_PROCESS_GROUP is None, "The local process group exists already."
    assert get_world_size() % num_workers_per_machine == 0, (
        f"World size {get_world_size()} is not a multiple of {num_workers_per_machine}."
    )
    machine_rank = get_rank() // num_workers_per_machine
    for machine in range(get_world_size() // num_workers_per_machine):
        first = machine * num_workers_per_machine
        group = dist.new_group(list(range(first, first + num_workers_per_machine)))
        if machine == machine_rank:
            _LOCAL_PROCESS_GROUP = group


def get_local_process_group() -> Any:
    """Returns the group of the processes on this machine.

    Raises:
        AssertionError: ``create_local_process_group`` was not called.
    """
    assert _LOCAL_PROCESS_GROUP is not None, (
        "No local process group: start with detectron2.engine.launch() or call "
        "comm.create_local_process_group() after init_process_group()."
    )
    return _LOCAL_PROCESS_GROUP


def get_local_rank() -> int:
    """Returns the rank of this process among those of its machine."""
    return dist.get_rank(group=get_local_process_group()) if _is_distributed() else 0


def get_local_size() -> int:
    """Returns the number of processes on this machine."""
    return dist.get_world_size(group=get_local_process_group()) if _is_distributed() else 1


def is_main_process() -> bool:
    return get_rank() == 0


def synchronize() -> None:
    """Waits until every process has reached this call."""
    if get_world_size() == 1:
        return
    if dist.get_backend() == dist.Backend.NCCL:
        dist.barrier(device_ids=[torch.cuda.current_device()])
    else:
        dist.barrier()


@functools.cache
def _get_global_gloo_group() -> Any:
    """Returns a group of all processes that can transfer CPU data, whatever the default backend."""
    return dist.new_group(backend="gloo") if dist.get_backend() == "nccl" else dist.group.WORLD


def all_gather(data: Any, group: Any = None) -> list[Any]:
    """Gathers picklable ``data`` from every process of ``group``, in the order of ranks."""
    if get_world_size() == 1:
        return [data]
    group = _get_global_gloo_group() if group is None else group
    gathered: list[Any] = [None] * dist.get_world_size(group)
    if len(gathered) == 1:
        return [data]
    dist.all_gather_object(gathered, data, group=group)
    return gathered


def gather(data: Any, dst: int = 0, group: Any = None) -> list[Any]:
    """Gathers picklable ``data`` on rank ``dst``; every other rank receives an empty list."""
    if get_world_size() == 1:
        return [data]
    group = _get_global_gloo_group() if group is None else group
    world_size = dist.get_world_size(group)
    if world_size == 1:
        return [data]
    gathered: list[Any] | None = [None] * world_size if dist.get_rank() == dst else None
    dist.gather_object(data, gathered, dst=dst, group=group)
    return gathered or []


def shared_random_seed() -> int:
    """Returns a random seed that all processes agree on; every process must call it."""
    return all_gather(np.random.randint(2**31))[0]
