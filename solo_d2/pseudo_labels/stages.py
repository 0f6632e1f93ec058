"""Resumable stages, each in its own processes.

A stage has a folder. ``started.json`` records its settings and inputs, ``done.json`` the outputs of a
finished stage. Both are written atomically, so the same command resumes a killed run.
"""

import contextlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from solo_d2.utils.atomic_file import UNFINISHED
from solo_d2.utils.errors import InputError
from solo_d2.utils.file_lock import lock_file
from solo_d2.utils.hashing import hash_value
from solo_d2.utils.json_file import write_json

from .files import describe_changes, digest_of_file, read_object
from .processes import end_leftovers, run_mark, run_script

logger = logging.getLogger(__name__)

_LOCK = "driver.lock"
_FORGOTTEN = ".forgotten"
# Seconds in which leftovers of a killed driver exit by themselves; loader processes check every five.
_PATIENCE = 30.0


@dataclass(frozen=True)
class Stage:
    """One step of a pipeline.

    Attributes:
        name: Name of the stage and of its folder.
        commands: Arguments of Python, one list per process; each process can be run again after a kill.
        settings: Everything that the result depends on, except outputs of other stages.
        outputs: Files that it writes to its folder.
        after: Names of the stages whose outputs it reads.
    """

    name: str
    commands: Sequence[Sequence[str]]
    settings: Mapping[str, object]
    outputs: Sequence[str]
    after: Sequence[str] = ()


class StageRunner:
    """Runs each stage once, in a folder per stage.

    Attributes:
        folder: Parent of the stages' folders.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        self._lock_file: IO | None = None
        self._made: dict[str, str] = {}

    def run(self, stage: Stage) -> bool:
        """Runs a stage unless it is done.

        A stage is rerun from scratch if its outputs have changed, or if it was started from other outputs of
        the stages before it.

        Returns:
            True if the stage was run.

        Raises:
            InputError: See :meth:`check`; also if a command failed or an output is missing.
        """
        self.check([stage])
        inputs = {name: self._made[name] for name in stage.after}
        reason = self._outdated(stage.name, inputs)
        if reason:
            logger.warning("%s: %s, the stage is rerun", stage.name, reason)
            self.forget([stage.name])
        before = self.result(stage.name)
        if before is not None:
            logger.info("%s: done before", stage.name)
        done = before or self._make(stage, inputs)
        self._made[stage.name] = hash_value(done["outputs"])
        return before is None

    def check(self, stages: Sequence[Stage]) -> None:
        """Checks the folders of stages.

        Raises:
            InputError: If a stage was started with other settings, or its folder has foreign files.
        """
        changes = {}
        for stage in stages:
            started = self._started(stage.name)
            if started:
                changes[stage.name] = describe_changes(started["settings"], stage.settings)
            elif not self.result(stage.name):
                self._check_empty(self.folder / stage.name)
        changed = [name for name, what in changes.items() if what]
        if changed:
            raise InputError(
                f"stage {changed[0]} was started with other settings ({changes[changed[0]]}): "
                f"--redo {' '.join(changed)} reruns what changed and what depends on it, "
                "another --output keeps both"
            )

    def _check_empty(self, folder: Path) -> None:
        if folder.exists() and not all(path.match(UNFINISHED) for path in folder.iterdir()):
            raise InputError(f"{folder} has foreign files: name another --output, or remove them")

    def _outdated(self, name: str, inputs: Mapping[str, str]) -> str:
        """Returns the reason why a stage cannot be resumed; "" if it can."""
        started, done = self._started(name), self.result(name)
        if started and started.get("inputs") != inputs:
            return "its inputs changed"
        changed = changed_outputs(self.folder / name, done["outputs"]) if done else ""
        return f"its {changed} changed" if changed else ""

    def _started(self, name: str) -> dict | None:
        return read_object(self.folder / name / "started.json")

    def _make(self, stage: Stage, inputs: Mapping[str, str]) -> dict:
        """Runs the commands and returns the content of ``done.json``."""
        started = self._started(stage.name)
        attempts = (started or {}).get("attempts", 0) + 1
        for leftover in (self.folder / stage.name).rglob(UNFINISHED):
            leftover.unlink()
        begun = {"settings": dict(stage.settings), "inputs": dict(inputs), "attempts": attempts}
        write_json(self.folder / stage.name / "started.json", begun)
        logger.info("%s: %s", stage.name, "resuming" if started else "starting")
        start = time.time()
        assert self._lock_file is not None, "run() needs lock()"
        for command in stage.commands:
            run_script(command, self._lock_file)
        return self._finish(stage, attempts, time.time() - start)

    def _finish(self, stage: Stage, attempts: int, seconds: float) -> dict:
        folder = self.folder / stage.name
        for name in stage.outputs:
            if not (folder / name).is_file():
                raise InputError(f"stage {stage.name} ended without {folder / name}")
        outputs = {name: digest_of_file(folder / name) for name in stage.outputs}
        done = {"outputs": outputs, "seconds": round(seconds, 1), "attempts": attempts}
        write_json(folder / "done.json", done)
        logger.info("%s: done in %.0f s", stage.name, seconds)
        return done

    def result(self, name: str) -> dict | None:
        """Returns the content of a stage's ``done.json``; None if it is not done."""
        return read_object(self.folder / name / "done.json")

    def forget(self, names: Sequence[str]) -> None:
        """Deletes stages' folders, last first, so that after a crash no stage lacks its inputs."""
        for name in reversed(names):
            if (self.folder / name).exists():
                # Renamed first, because a partly deleted folder must not look like a stage to resume.
                forgotten = tempfile.mkdtemp(_FORGOTTEN, ".", self.folder)
                os.replace(self.folder / name, forgotten)
                shutil.rmtree(forgotten, ignore_errors=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Locks the folder for this process and its children, and cleans up orphans of a killed driver.

        Raises:
            InputError: If another run still uses the folder, or a process of an earlier run does not end.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / _LOCK, "a") as file:
            if not lock_file(file, inherited=True, patience=_PATIENCE):
                raise InputError(f"another run still works in {self.folder}: wait for it or end it")
            end_leftovers(run_mark(file))
            for leftover in self.folder.glob(UNFINISHED):  # not below: a subfolder may be another run's
                leftover.unlink()
            for leftover in self.folder.glob(f".*{_FORGOTTEN}"):
                shutil.rmtree(leftover, ignore_errors=True)
            self._lock_file = file
            yield


def resting_on(names: Collection[str], stages: Sequence[Stage]) -> list[str]:
    """Returns these stages and all that depend on them, directly or indirectly, in the stages' order."""
    found: list[str] = []
    for stage in stages:
        if stage.name in names or set(stage.after) & set(found):
            found.append(stage.name)
    return found


def changed_outputs(folder: Path, outputs: Mapping[str, str]) -> str:
    """Returns the names of missing or changed outputs, separated by commas; "" if none."""
    changed = [
        name
        for name, digest in outputs.items()
        if not (folder / name).is_file() or digest_of_file(folder / name) != digest
    ]
    return ", ".join(changed)
