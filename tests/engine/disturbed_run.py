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
import time
import types
from functools import partial
from pathlib import Path

import torch
import torch._dynamo  # late imports of every training, made once
import torch.utils.tensorboard
from conftest import register_tiny_sets, tiny_config

from detectron2.engine import HookBase, defaults
from detectron2.utils import comm
from detectron2.utils.events import JSONWriter
from solo_d2.checkpoint import weight_file
from solo_d2.checkpoint.checkpointer import Checkpointer
from solo_d2.engine import run as command
from solo_d2.engine import run_config, trainer
from solo_d2.engine.cli import run_cli
from solo_d2.engine.launching import launch_training
from solo_d2.engine.trainer import Trainer

SIGNALS = {"kill": "SIGKILL", "term": "SIGTERM", "int": "SIGINT", "usr1": "SIGUSR1"}
PATIENCE = 60.0  # seconds in which all processes of a job end with its first ones
_CAPABILITY_VERSION = 0x20080522
_PR_SET_CHILD_SUBREAPER = 36


class Disturbance:
    """Something that happens once, when the training first reaches a point at an iteration.

    Attributes:
        iteration: The current one; -1 before the first.
    """

    def __init__(self, job: dict):
        self.kind, self.point, self.at = job.get("kind", ""), job.get("point", ""), job.get("iteration", 3)
        self.folder, self.whom = job["out"], job.get("whom", "self")
        self.iteration = -1
        self.room = 0

    def is_due(self, point: str) -> bool:
        return self.point == point and self.iteration == self.at

    def reach(self, point: str) -> None:
        if not self.is_due(point):
            return
        self.point = ""
        if self.kind in SIGNALS:
            self.send(getattr(signal, SIGNALS[self.kind]))
        elif self.kind == "twice":
            self.send(signal.SIGTERM)
            self.send(signal.SIGTERM)
        else:
            getattr(self, self.kind)()

    def send(self, number: int) -> None:
        """Signals this process, the one that started it, or as a terminal and a scheduler do, all."""
        if self.whom == "group":
            os.killpg(os.getpgrp(), number)
        else:
            os.kill(os.getppid() if self.whom == "parent" else os.getpid(), number)

    def full(self) -> None:
        """No regular file can grow any more."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.room, resource.RLIM_INFINITY))

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


def watch(watched: Trainer, disturbance: Disturbance, report) -> None:
    """Calls ``disturbance.reach`` at the points of a training."""
    front, back = Front(disturbance, report), Back(disturbance)
    watched.register_hooks([front, back])
    watched._hooks.insert(0, watched._hooks.pop(watched._hooks.index(front)))
    model = disturbance.model = watched.bare_model
    model.register_forward_pre_hook(
        lambda module, _: disturbance.reach("forward" if module.training else "evaluating")
    )
    model.conv.weight.register_hook(lambda gradient: disturbance.reach("backward"))
    if watched.ema:
        watched.ema.averaged.register_forward_pre_hook(lambda *_: disturbance.reach("evaluating"))
    watch_saving(disturbance)


def watch_saving(disturbance: Disturbance) -> None:
    """Adds points in the middle of writing files; "writing NAME" and "written NAME" are of one file."""
    save, fsync, tag, write = torch.save, os.fsync, Checkpointer.tag_last_checkpoint, JSONWriter.write

    def slow_save(data, file):
        file.write(b"PK half of a file")
        file.flush()
        disturbance.reach("writing")
        disturbance.reach(f"writing {name_of(file)}")
        file.seek(0)
        save(data, file)

    def slow_fsync(file):
        disturbance.reach("written")
        disturbance.reach(f"written {name_of(file)}")
        fsync(file)

    def slow_tag(checkpointer, name):
        disturbance.reach("tagging")
        tag(checkpointer, name)

    def slow_write(writer):
        path = Path(disturbance.folder, "metrics.json")
        if disturbance.is_due("metrics"):
            if disturbance.kind == "kill":
                with open(path, "a") as file:
                    file.write('{"data_time": 0.1, "itera')
            disturbance.room = path.stat().st_size + 9
        disturbance.reach("metrics")
        write(writer)

    weight_file.torch = types.SimpleNamespace(**{**vars(torch), "save": slow_save})
    os.fsync = slow_fsync
    Checkpointer.tag_last_checkpoint = slow_tag
    JSONWriter.write = slow_write


def name_of(file) -> str:
    """Returns the name of the file that a temporary one, or its descriptor, becomes."""
    descriptor = file if isinstance(file, int) else file.fileno()
    return os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")).strip(".").split(".")[0]


def member(arguments) -> None:
    """Does what ``solo-d2 train`` does, with a model and data of a few pixels."""
    job, report = arguments.job, arguments.report
    register_tiny_sets(job["data"])
    disturbance = Disturbance(job)
    if comm.get_rank() != job.get("rank", 0):
        disturbance.point = ""

    class WatchedTrainer(Trainer):
        def __init__(self, cfg):
            disturbance.reach("unbuilt")
            super().__init__(cfg)
            watch(self, disturbance, report)
            disturbance.reach("built")

    disturbance.reach("starting")
    command.Trainer = WatchedTrainer
    run_config.load_config = lambda path: tiny_config(**job.get("settings", {}))
    run_config.register_all = lambda: disturbance.reach("registering")
    run_config.check_datasets = run_config.drop_unmeasurable = lambda *args, **kwargs: None
    trainer._WRITER_PERIOD = 2
    torch.manual_seed(0)
    command.run_member(arguments)


def run_here(job: dict, report) -> int:
    """Runs one process of a job to its end; returns its exit code."""
    flags = ["--resume"] if job.get("resume") else []
    if job.get("form") == "spawned":
        flags += ["--num-gpus", str(job["ranks"])]
        start = torch.multiprocessing.start_processes
        torch.multiprocessing.start_processes = partial(start, start_method="fork")
    sys.argv = ["train_net.py", *flags, "OUTPUT_DIR", job["out"]]
    arguments = run_config.build_parser().parse_args(sys.argv[1:])
    arguments.job, arguments.report = job, report
    try:
        run_cli(lambda: launch_training(member, arguments))
    except SystemExit as stop:
        return stop.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def child(job: dict, rank: int, report, errors) -> None:
    """Is a process of a job, forked from the server."""
    os.dup2(errors, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    ranks = job.get("ranks", 1)
    if ranks > 1 and job.get("form") != "spawned":
        place = {"RANK": rank, "WORLD_SIZE": ranks, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": ranks}
        place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": job["port"]}
        os.environ.update({key: str(value) for key, value in place.items()})
    code = run_here(job, os.fdopen(report, "w"))
    sys.stderr.flush()
    os._exit(code)


def read_pipe(end: int, parts: list[str]) -> threading.Thread:
    def read():
        with os.fdopen(end) as file:
            parts.append(file.read())

    thread = threading.Thread(target=read)
    thread.start()
    return thread


def end_group(group: int) -> bool:
    """Kills what is left of a job; returns whether there was anything."""
    left = False
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return left
        if pid == 0:
            if time.monotonic() > deadline:
                left = True
                os.killpg(group, signal.SIGKILL)
            time.sleep(0.01)


def run_job(job: dict) -> dict:
    """Runs a training.

    Args:
        job: "out" (its folder), "data" (of ``register_tiny_sets``), "resume", "settings" (of
            ``tiny_config``), "ranks", their "port" and "form" ("spawned" by the launcher, or else started
            side by side as by srun), and what goes wrong: "kind", "point", "iteration", "rank" and "whom" a
            signal is sent to.

    Returns:
        "codes" (exit codes of the started processes, minus the signal that killed it), "losses" (iteration ->
        total loss as text, in the order of steps), "errors" (text of stderr), "left" (whether a process was
        still there a minute after the first ones had ended).
    """
    reading, reporting = os.pipe()
    failing, errors = os.pipe()
    pids: list[int] = []
    for rank in range(1 if job.get("form") == "spawned" else job.get("ranks", 1)):
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            os.close(failing)
            child(job, rank, reporting, errors)
        pids.append(pid)
        os.setpgid(pid, pids[0])
    os.close(reporting)
    os.close(errors)
    reports: list[str] = []
    texts: list[str] = []
    threads = [read_pipe(reading, reports), read_pipe(failing, texts)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    left = end_group(pids[0])
    for thread in threads:
        thread.join()
    losses = dict(line.split() for line in reports[0].splitlines())
    return {"codes": codes, "losses": losses, "errors": texts[0], "left": left}


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    defaults.collect_env_info = str  # takes seconds
    if len(sys.argv) > 1:  # one process of a job, started by somebody else
        with open(os.environ["REPORT"], "a") as report:
            sys.exit(run_here(json.loads(sys.argv[1]), report))
    for line in sys.stdin:
        print(json.dumps(run_job(json.loads(line))), flush=True)
