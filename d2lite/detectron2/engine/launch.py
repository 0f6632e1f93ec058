"""Starting one function in several processes of one or more machines."""

import logging
import os
import socket
import sys
from contextlib import closing
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from detectron2.utils import comm

__all__ = ["DEFAULT_TIMEOUT", "launch"]

DEFAULT_TIMEOUT = timedelta(minutes=30)


def _free_tcp_port() -> int:
    """A port nobody listens on now; somebody may take it before it is used."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def launch(
    main_func,
    num_gpus_per_machine,
    num_machines=1,
    machine_rank=0,
    dist_url=None,
    args=(),
    timeout=DEFAULT_TIMEOUT,
):
    """Runs ``main_func(*args)`` in ``num_machines * num_gpus_per_machine`` processes.

    Every machine calls this once and it spawns that machine's processes. With one process in
    all, the function is simply called. Processes talk over NCCL where CUDA is available and
    over gloo where it is not.

    Args:
        main_func: importable function that every process runs.
        num_gpus_per_machine: processes per machine.
        num_machines: number of machines.
        machine_rank: this machine's number, from 0.
        dist_url: where the processes meet, e.g. ``tcp://host:port``; "auto" picks a free port
            on this machine (one machine only).
        args: arguments of ``main_func``.
        timeout: how long collective operations wait.
    """
    world_size = num_machines * num_gpus_per_machine
    if world_size <= 1:
        main_func(*args)
        return
    if dist_url == "auto":
        assert num_machines == 1, "dist_url='auto' works on one machine only: give tcp://host:port."
        dist_url = f"tcp://127.0.0.1:{_free_tcp_port()}"
    if num_machines > 1 and dist_url.startswith("file://"):
        logging.getLogger(__name__).warning("A file:// dist_url is unreliable across machines; prefer tcp://")
    mp.start_processes(
        _run_process,
        nprocs=num_gpus_per_machine,
        args=(main_func, world_size, num_gpus_per_machine, machine_rank, dist_url, args, timeout),
        daemon=False,
    )


def _run_process(local_rank, main_func, world_size, per_machine, machine_rank, url, args, timeout):
    """Joins the process group, then runs the function: the body of every spawned process."""
    has_gpu = torch.cuda.is_available()
    if has_gpu:
        assert per_machine <= torch.cuda.device_count(), (
            f"{per_machine} processes were asked for, {torch.cuda.device_count()} GPUs are here"
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
    """Ends a spawned process that did its work without running C++ destructors.

    Gloo's threads can outlive the last collective; destroying them while the interpreter shuts down
    aborts the process now and then, which would turn a finished run into a failed one.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
