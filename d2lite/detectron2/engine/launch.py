"""Runs one function in several processes of one or more machines."""

import logging
import os
import socket
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from detectron2.utils import comm

DEFAULT_TIMEOUT = timedelta(minutes=30)


def _free_tcp_port() -> int:
    """Returns a port that is free now; another process may take it before it is used."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def launch(
    main_func: Callable,
    num_gpus_per_machine: int,
    num_machines: int = 1,
    machine_rank: int = 0,
    dist_url: str | None = None,
    args: tuple = (),
    timeout: timedelta = DEFAULT_TIMEOUT,
) -> None:
    """Runs ``main_func(*args)`` in ``num_machines * num_gpus_per_machine`` processes.

    Every machine calls this once, and it spawns that machine's processes. A single process calls the
    function directly. Processes communicate by NCCL if CUDA is available, otherwise by gloo.

    Args:
        main_func: Importable function that every process runs.
        num_gpus_per_machine: Processes per machine.
        num_machines: Number of machines.
        machine_rank: Rank of this machine, from 0.
        dist_url: Rendezvous address, e.g. ``tcp://host:port``; "auto" picks a free port (one machine
            only).
        args: Arguments of ``main_func``.
        timeout: Timeout of collective operations.
    """
    world_size = num_machines * num_gpus_per_machine
    if world_size <= 1:
        main_func(*args)
        return
    if dist_url == "auto":
        assert num_machines == 1, "dist_url='auto' works on one machine only: pass tcp://host:port."
        dist_url = f"tcp://127.0.0.1:{_free_tcp_port()}"
    if num_machines > 1 and dist_url and dist_url.startswith("file://"):
        logging.getLogger(__name__).warning("A file:// dist_url is unreliable across machines; prefer tcp://")
    mp.start_processes(
        _run_process,
        nprocs=num_gpus_per_machine,
        args=(main_func, world_size, num_gpus_per_machine, machine_rank, dist_url, args, timeout),
        daemon=False,
    )


def _run_process(
    local_rank: int,
    main_func: Callable,
    world_size: int,
    per_machine: int,
    machine_rank: int,
    url: str | None,
    args: tuple[Any, ...],
    timeout: timedelta,
) -> None:
    """Joins the process group and runs the function: the body of every spawned process."""
    has_gpu = torch.cuda.is_available()
    if has_gpu:
        assert per_machine <= torch.cuda.device_count(), (
            f"{per_machine} processes need as many GPUs, this machine has {torch.cuda.device_count()}"
        )
    dist.init_process_group(
        backend="NCCL" if has_gpu else "GLOO",
        init_method=url,
        world_size=world_size,
        rank=machine_rank * per_machine + local_rank,
        timeout=timeout,
    )
    comm.create_local_process_group(per_machine)
    if has_gpu:
        torch.cuda.set_device(local_rank)
    comm.synchronize()
    main_func(*args)
    _leave()


def _leave() -> None:
    """Ends a spawned process without running C++ destructors.

    Gloo's threads can outlive the last collective. Destroying them at interpreter shutdown sometimes
    aborts the process, which would turn a successful run into a failed one.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
