"""Scripts that end with their driver, and what they spawned with the next one."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from solo_d2.pseudo_labels import processes as module
from solo_d2.pseudo_labels.processes import end_leftovers, run_script
from solo_d2.pseudo_labels.stages import StageRunner
from solo_d2.utils.errors import InputError

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and a signal on a parent's death")
DRIVER = (
    "import sys\nfrom solo_d2.pseudo_labels.stages import Stage, StageRunner\n"
    "runner = StageRunner(sys.argv[1])\n"
    "with runner.lock():\n    runner.run(Stage('one', [sys.argv[2:]], {}, []))\n"
)
# Notes its process id and sleeps.
SLEEP = """
import os, sys, time
with open(sys.argv[1] + ".new", "w") as file:
    file.write(str(os.getpid()))
os.replace(file.name, sys.argv[1])
time.sleep(600)
"""
# Starts a rank as torch's spawn does: it inherits no file, and nothing ends it with its parent.
SPAWN = """
import subprocess, sys
subprocess.Popen([sys.executable, *sys.argv[1:]]).wait()
"""


@pytest.fixture
def scripts(tmp_path):
    """Folder with sleep.py and spawn.py, where the pid goes."""
    (tmp_path / "sleep.py").write_text(SLEEP)
    (tmp_path / "spawn.py").write_text(SPAWN)
    return tmp_path


def kill_driver(scripts, *command):
    """Kills a driver (kill -9) once its sleeper sleeps; returns the sleeper's process id."""
    words = [sys.executable, "-c", DRIVER, scripts / "run", *command, scripts / "pid"]
    process = subprocess.Popen([str(word) for word in words])
    child = _wait_for(lambda: (scripts / "pid").exists() and (scripts / "pid").read_text())
    process.send_signal(signal.SIGKILL)
    process.wait()
    return int(child)


@ON_LINUX
def test_a_killed_driver_takes_its_stage_along(scripts):
    child = kill_driver(scripts, scripts / "sleep.py")
    _wait_for(lambda: not _is_alive(child))
    started = json.loads((scripts / "run" / "one" / "started.json").read_text())
    assert started["attempts"] == 1 and StageRunner(scripts / "run").result("one") is None
    with StageRunner(scripts / "run").lock():
        pass


@ON_LINUX
def test_the_next_driver_ends_what_the_stage_spawned(scripts):
    orphan = kill_driver(scripts, scripts / "spawn.py", scripts / "sleep.py")
    try:
        assert _is_alive(orphan)
        with StageRunner(scripts / "other").lock():  # not its own
            assert _is_alive(orphan)
        with StageRunner(scripts / "run").lock():
            assert not _is_alive(orphan)
    finally:
        if _is_alive(orphan):
            os.kill(orphan, signal.SIGKILL)


@ON_LINUX
def test_a_failed_script_leaves_no_process(scripts):
    (scripts / "fail.py").write_text(
        "import os, subprocess, sys, time\nsubprocess.Popen([sys.executable, *sys.argv[1:]])\n"
        "while not os.path.exists(sys.argv[2]):\n    time.sleep(0.05)\nsys.exit(3)\n"
    )
    command = [str(scripts / name) for name in ("fail.py", "sleep.py", "pid")]
    with (
        open(scripts / "lock", "a") as file,
        pytest.raises(InputError, match=r"fail.py failed \(exit code 3\)"),
    ):
        run_script(command, file)
    assert not _is_alive(int((scripts / "pid").read_text()))


def test_a_killed_script_is_no_riddle(scripts):
    (scripts / "killed.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    with (
        open(scripts / "lock", "a") as file,
        pytest.raises(InputError, match=r"killed.py stopped: .* SIGKILL, as the system does when memory"),
    ):
        run_script([str(scripts / "killed.py")], file)


def test_a_process_that_does_not_end_is_named(monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    monkeypatch.setattr(module, "_marked", lambda mark: [12345678])
    monkeypatch.setattr(module.os, "kill", lambda pid, number: None)
    with pytest.raises(InputError, match=r"processes \[12345678\] of an earlier run do not end"):
        end_leftovers("x")


def _wait_for(condition, seconds=300):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


def _is_alive(pid):
    """Returns True if a process runs; a zombie does not."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
