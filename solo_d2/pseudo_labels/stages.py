"""Long work as stages in processes of their own: killed at any point, the same command goes on where it was.

A stage has a folder. ``started.json`` in it says with which settings it was begun, ``done.json`` that it is
finished, and with what. Both are whole or absent.
"""

import contextlib
import ctypes
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from solo_d2.structures.errors import InputError

from .files import describe_changes, digest_of, digest_of_file, read_json, write_whole

try:
    import fcntl
except ImportError:  # no POSIX: nothing guards a folder against two drivers
    fcntl = None

logger = logging.getLogger(__name__)

_LOCK = "driver.lock"
# Seconds that what a killed driver left behind has to end itself; loader processes look every five.
_PATIENCE = 30.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Stage:
    """One step.

    Attributes:
        name: of the stage and of its folder.
        commands: Python scripts with arguments, one after the other; each can be run again after a kill.
        settings: everything the result follows from, except what other stages made.
        outputs: files in the stage's folder that it leaves.
        after: names of the stages whose outputs it reads.
    """

    name: str
    commands: Sequence[Sequence[str]]
    settings: Mapping[str, object]
    outputs: Sequence[str]
    after: Sequence[str] = ()


class StageRunner:
    """Runs stages below one folder, each once.

    Attributes:
        folder: the stages' folders are in it.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        self._lock_file = None
        self._keys: dict[str, str] = {}

    def run(self, stage: Stage) -> None:
        """Runs a stage unless it is done.

        Raises:
            InputError: if it was begun with other settings, a command failed, or an output is not there.
        """
        settings = dict(stage.settings) | {f"stage {name}": self._keys[name] for name in stage.after}
        self._keys[stage.name] = digest_of(settings)
        folder = self.folder / stage.name
        started = self._check_settings(stage.name, settings)
        done = read_json(folder / "done.json")
        if done is not None:
            changed = changed_outputs(folder, done["outputs"])
            if not changed:
                logger.info("%s: done before", stage.name)
                return
            logger.warning("%s: %s is not as it was left, the stage is run again", stage.name, changed)
            (folder / "done.json").unlink()
        attempts = (started or {}).get("attempts", 0) + 1
        write_whole(folder / "started.json", [json.dumps({"settings": settings, "attempts": attempts})])
        logger.info("%s: %s", stage.name, "going on" if started else "starting")
        start = time.time()
        for command in stage.commands:
            run_script(command, self._lock_file)
        self._finish(stage, attempts, time.time() - start)

    def _check_settings(self, name: str, settings: dict) -> dict | None:
        """What ``started.json`` holds, if its settings are these."""
        started = read_json(self.folder / name / "started.json")
        if started is None:
            return None
        changes = describe_changes(started["settings"], settings)
        if changes:
            raise InputError(
                f"stage {name} was begun with other settings ({changes}): --redo {name} makes it and what "
                "follows anew, another --output keeps both"
            )
        return started

    def _finish(self, stage: Stage, attempts: int, seconds: float) -> None:
        folder = self.folder / stage.name
        for name in stage.outputs:
            if not (folder / name).is_file():
                raise InputError(f"stage {stage.name} ended without {folder / name}")
        outputs = {name: digest_of_file(folder / name) for name in stage.outputs}
        done = {"outputs": outputs, "seconds": round(seconds, 1), "attempts": attempts}
        write_whole(folder / "done.json", [json.dumps(done)])
        logger.info("%s: done in %.0f s", stage.name, seconds)

    def result(self, name: str) -> dict | None:
        """What ``done.json`` of a stage holds; None if it is not done."""
        return read_json(self.folder / name / "done.json")

    def forget(self, names: Sequence[str]) -> None:
        """Deletes stages' folders, the last first, so that a crash leaves none that others rest on."""
        for name in reversed(names):
            (self.folder / name / "done.json").unlink(missing_ok=True)
            shutil.rmtree(self.folder / name, ignore_errors=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps the folder for this process and what it starts.

        The processes of a killed driver hold the lock as long as they live, so none of them can write into
        what this one does.

        Raises:
            InputError: if another run still works in the folder.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / _LOCK, "a") as file:
            _acquire(file, self.folder)
            for leftover in self.folder.rglob("*.partial"):
                leftover.unlink()
            self._lock_file = file
            yield


def _acquire(file, folder: Path) -> None:
    if fcntl is None:
        return
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise InputError(f"another run still works in {folder}: wait for it or end it") from None
            time.sleep(0.2)


def run_script(command: Sequence[str], lock_file) -> None:
    """Runs a Python script to its end; it ends with this process, however this one ends (Linux).

    Raises:
        InputError: if it failed.
    """
    process = subprocess.Popen(
        [sys.executable, *command], pass_fds=(lock_file.fileno(),), preexec_fn=_end_with_parent
    )
    try:
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if code:
        raise InputError(
            f"{Path(command[0]).name} failed (exit code {code}), its message is above; "
            "the same command goes on there"
        )


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def changed_outputs(folder: Path, outputs: Mapping[str, str]) -> str:
    """Names of the outputs that are gone or have other bytes, with commas; "" if all are as they were."""
    changed = [
        name
        for name, digest in outputs.items()
        if not (folder / name).is_file() or digest_of_file(folder / name) != digest
    ]
    return ", ".join(changed)
