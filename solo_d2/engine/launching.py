"""Starts the processes of a job: under torchrun or srun, or by Detectron2's launch, on GPUs or CPUs."""

import argparse
import contextlib
import logging
import os
import signal
from collections.abc import Callable
from multiprocessing import resource_tracker

import torch
import torch.distributed as dist

from detectron2.engine import launch
from detectron2.utils import comm
from solo_d2.utils.errors import InputError

from .cli import run_reporting_errors
from .interruption import stop_signals
from .slurm import torchrun_variables, under_srun

_TORCHRUN_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


def launch_training(main: Callable, args: argparse.Namespace) -> None:
    """Runs ``main(args)`` in every process of the job.

    Under torchrun, and as one of several tasks of srun, this process joins the group that the environment
    describes, and ``--num-gpus`` and the other launch flags are ignored. Otherwise the processes of this
    machine are spawned, with NCCL on GPUs and gloo on CPUs.

    Args:
        main: Importable function that takes ``args``.
        args: The command line, with Detectron2's launch flags.

    Raises:
        InputError: The flags ask for something this machine or network does not have.
    """
    if not under_torchrun() and under_srun() and args.num_machines == 1:
        if args.num_gpus > 1:
            raise InputError(
                f"--num-gpus {args.num_gpus}, but srun has started several tasks: leave --num-gpus out and "
                "let srun start one task per GPU"
            )
        os.environ.update(torchrun_variables())
    if under_torchrun():
        _join_group(main, args)
        return
    _check_flags(args)
    spawns = args.num_gpus * args.num_machines > 1
    if spawns:
        _start_resource_tracker()
        # That the others are ended with the first one is no news.
        logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)
    with stop_signals.installed(forward=True) if spawns else contextlib.nullcontext():
        launch(
            _run_member,
            args.num_gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(main, args),
        )


def _start_resource_tracker() -> None:
    """Starts Python's helper process so that it ignores SIGUSR1, as it does SIGINT and SIGTERM."""
    number = getattr(signal, "SIGUSR1", None)
    former = signal.signal(number, signal.SIG_IGN) if number else None
    resource_tracker.ensure_running()
    if number:
        signal.signal(number, former or signal.SIG_DFL)


def _run_member(main: Callable, args: argparse.Namespace) -> None:
    """Runs one process of the job and leaves its group.

    gloo's threads may abort a process that ends while they run, so its group is always left. In a failed job
    NCCL could wait forever for the other processes, so its group is left only after success.
    """
    try:
        with stop_signals.installed():
            run_reporting_errors(_run_with_others, main, args)
    except SystemExit:
        if dist.is_initialized() and dist.get_backend() == "gloo":
            dist.destroy_process_group()
        raise
    if dist.is_initialized():
        dist.destroy_process_group()


def _run_with_others(main: Callable, args: argparse.Namespace) -> None:
    """Runs ``main(args)`` and waits for the other processes of the job."""
    main(args)
    comm.synchronize()


def starts_processes(args: argparse.Namespace) -> bool:
    """Returns whether a job has more processes than this one, or a launcher that connects them."""
    return args.num_gpus * args.num_machines > 1 or under_torchrun() or under_srun()


def under_torchrun() -> bool:
    """Returns whether a launcher has already started the processes of this job."""
    return all(name in os.environ for name in _TORCHRUN_VARIABLES)


def _join_group(main: Callable, args: argparse.Namespace) -> None:
    """Joins the group that torchrun's variables describe, and runs this process of it."""
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        # A scheduler may show each process its own GPU only.
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    dist.init_process_group("nccl" if on_gpu else "gloo", init_method="env://")
    comm.create_local_process_group(int(os.environ["LOCAL_WORLD_SIZE"]))
    _run_member(main, args)


def _check_flags(args: argparse.Namespace) -> None:
    """Checks the launch flags against this machine."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for flag, number, least in (("--num-gpus", args.num_gpus, 0), ("--num-machines", args.num_machines, 1)):
        if number < least:
            raise InputError(f"{flag} {number}: it must be at least {least}")
    if gpus and args.num_gpus > gpus:
        raise InputError(f"--num-gpus {args.num_gpus}: this machine has {gpus}")
    if args.num_machines > 1 and args.dist_url == "auto":
        raise InputError("--num-machines > 1 needs --dist-url tcp://<first machine>:<free port>")
    if not 0 <= args.machine_rank < args.num_machines:
        raise InputError(f"--machine-rank is 0 to {args.num_machines - 1}, not {args.machine_rank}")
