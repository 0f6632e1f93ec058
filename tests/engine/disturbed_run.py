"""A server of small trainings that something goes wrong in: each is a forked process, ready in milliseconds.

Reads one job per line from stdin and answers with one line on stdout, both JSON; see :func:`run_job`.
"""

import ctypes
import errno
import json
import os
import resource
import shutil
import signal
import sys
import threading
import types
from pathlib import Path

import torch
import torch._dynamo  # late imports of every training, made once
import torch.utils.tensorboard
from conftest import register_tiny_sets, tiny_config

from detectron2.engine import HookBase
from solo_d2.checkpoint import weight_file
from solo_d2.checkpoint.checkpointer import Checkpointer
from solo_d2.commands import train as command
from solo_d2.engine import run_config
from solo_d2.engine.cli import run_cli
from solo_d2.engine.launching import launch_training
from solo_d2.engine.trainer import Trainer

SIGNALS = {"kill": "SIGKILL", "term": "SIGTERM", "int": "SIGINT", "usr1": "SIGUSR1"}
_CAPABILITY_VERSION = 0x20080522


class Disturbance:
    """Something that happens once, when the training first reaches a point at an iteration.

    Attributes:
        iteration: The current one; -1 before the first.
    """

    def __init__(self, kind: str, point: str, iteration: int, folder: str):
        self.kind, self.point, self.at, self.folder = kind, point, iteration, folder
        self.iteration = -1

    def reach(self, point: str) -> None:
        if self.point != point or self.iteration != self.at:
            return
        self.point = ""
        if self.kind in SIGNALS:
            os.kill(os.getpid(), getattr(signal, SIGNALS[self.kind]))
        elif self.kind == "twice":
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            getattr(self, self.kind)()

    def full(self) -> None:
        """No regular file can grow any more."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def readonly(self) -> None:
        """The folder cannot be written to, not even by root, who may otherwise ignore permissions."""
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
        ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)())
        os.chmod(self.folder, 0o555)

    def removed(self) -> None:
        shutil.rmtree(self.folder)

    def moved(self) -> None:
        os.rename(self.folder, f"{self.folder}_moved")

    def loader(self) -> None:
        """The system kills a loader process."""
        children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)

    def group(self) -> None:
        """A scheduler signals all processes of the job."""
        os.killpg(os.getpgrp(), signal.SIGTERM)

    def nan(self) -> None:
        torch.nn.init.constant_(self.model.conv.weight, float("nan"))

    def error(self) -> None:
        raise OSError(errno.EIO, "Input/output error")


class Front(HookBase):
    """Comes first, and reports each iteration's loss."""

    def __init__(self, disturbance: Disturbance, report):
        self.disturbance, self.report = disturbance, report

    def before_step(self) -> None:
        self.disturbance.iteration = self.trainer.iter
        self.disturbance.reach("before_step")

    def after_step(self) -> None:
        if "total_loss" in self.trainer.storage.latest():  # the main process has it
            print(
                self.trainer.iter,
                self.trainer.storage.latest()["total_loss"][0].hex(),
                file=self.report,
                flush=True,
            )
        self.disturbance.reach("stepped")


class Back(HookBase):
    """Comes last."""

    def __init__(self, disturbance: Disturbance):
        self.disturbance = disturbance

    def after_step(self) -> None:
        self.disturbance.reach("after_step")


def watch(trainer: Trainer, disturbance: Disturbance, report) -> None:
    """Calls ``disturbance.reach`` at the points of a training."""
    front, back = Front(disturbance, report), Back(disturbance)
    trainer.register_hooks([front, back])
    trainer._hooks.insert(0, trainer._hooks.pop(trainer._hooks.index(front)))
    model = disturbance.model = trainer.bare_model
    model.register_forward_pre_hook(
        lambda module, _: disturbance.reach("forward" if module.training else "evaluating")
    )
    model.conv.weight.register_hook(lambda gradient: disturbance.reach("backward"))
    if trainer.ema:
        trainer.ema.averaged.register_forward_pre_hook(lambda *_: disturbance.reach("evaluating"))
    watch_saving(disturbance)


def watch_saving(disturbance: Disturbance) -> None:
    save, fsync, tag = torch.save, os.fsync, Checkpointer.tag_last_checkpoint

    def slow_save(data, file):
        file.write(b"PK half of a file")
        file.flush()
        disturbance.reach("writing")
        file.seek(0)
        save(data, file)

    def slow_fsync(file):
        disturbance.reach("written")
        fsync(file)

    def slow_tag(checkpointer, name):
        disturbance.reach("tagging")
        tag(checkpointer, name)

    weight_file.torch = types.SimpleNamespace(**{**vars(torch), "save": slow_save})
    os.fsync = slow_fsync
    Checkpointer.tag_last_checkpoint = slow_tag


def member(arguments) -> None:
    """Does what ``solo-d2 train`` does, with a model and data of a few pixels."""
    job, report = arguments.job, arguments.report
    register_tiny_sets(job["data"])
    disturbance = Disturbance(job.get("kind", ""), job.get("point", ""), job.get("iteration", 3), job["out"])
    if int(os.environ.get("RANK", "0")) != job.get("rank", 0):
        disturbance.point = ""

    class WatchedTrainer(Trainer):
        def __init__(self, cfg):
            super().__init__(cfg)
            watch(self, disturbance, report)
            disturbance.reach("built")

    command.Trainer = WatchedTrainer
    run_config.load_config = lambda path: tiny_config(**job.get("settings", {}))
    run_config.check_datasets = run_config.drop_unmeasurable = lambda *args, **kwargs: None
    run_config.setup_logger = command.default_setup = lambda *args, **kwargs: None
    torch.manual_seed(0)
    command.run_member(arguments)


def child(job: dict, rank: int, report, errors) -> None:
    """Runs one process of a job to its end."""
    os.setpgrp()
    os.dup2(errors, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    ranks = job.get("ranks", 1)
    if ranks > 1:
        place = {"RANK": rank, "WORLD_SIZE": ranks, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": ranks}
        place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": job["port"]}
        os.environ.update({key: str(value) for key, value in place.items()})
    flags = ["--resume"] if job.get("resume") else []
    sys.argv = ["train_net.py", *flags, "OUTPUT_DIR", job["out"]]
    arguments = command.build_parser().parse_args(sys.argv[1:])
    arguments.job, arguments.report = job, os.fdopen(report, "w")
    code = 0
    try:
        run_cli(lambda: launch_training(member, arguments))
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stderr.flush()
    os._exit(code)


def read_pipe(end: int, parts: list[str]) -> threading.Thread:
    def read():
        with os.fdopen(end) as file:
            parts.append(file.read())

    thread = threading.Thread(target=read)
    thread.start()
    return thread


def run_job(job: dict) -> dict:
    """Runs a training.

    Args:
        job: "out" (its folder), "data" (of ``register_tiny_sets``), "resume", "settings" (of
            ``tiny_config``), "ranks" and their "port", and what goes wrong: "kind", "point", "iteration" and
            "rank".

    Returns:
        "codes" (each rank's exit code, minus the signal that killed it), "losses" (iteration -> total loss as
        text, in the order of steps), "errors" (text of stderr).
    """
    reading, reporting = os.pipe()
    failing, errors = os.pipe()
    pids = []
    for rank in range(job.get("ranks", 1)):
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            os.close(failing)
            child(job, rank, reporting, errors)
        pids.append(pid)
    os.close(reporting)
    os.close(errors)
    reports: list[str] = []
    texts: list[str] = []
    threads = [read_pipe(reading, reports), read_pipe(failing, texts)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    for thread in threads:
        thread.join()
    losses = dict(line.split() for line in reports[0].splitlines())
    return {"codes": codes, "losses": losses, "errors": texts[0]}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(run_job(json.loads(line))), flush=True)
