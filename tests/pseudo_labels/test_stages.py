"""Stages that are run once, go on after a kill, and notice what changed."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from solo_d2.pseudo_labels import stages as module
from solo_d2.pseudo_labels.stages import Stage, StageRunner, changed_outputs
from solo_d2.structures.errors import InputError

# Notes that it ran, copies its words into a file.
SCRIPT = """
import sys
from pathlib import Path
folder, *words = sys.argv[1:]
with open(Path(folder, "runs"), "a") as file:
    file.write("x")
Path(folder, "out.txt").write_text(" ".join(words))
"""


@pytest.fixture
def runner(tmp_path):
    runner = StageRunner(tmp_path / "run")
    with runner.lock():
        yield runner


@pytest.fixture
def make_stage(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    def make(name="one", word="a", settings=None, after=(), outputs=("out.txt",)):
        command = [str(script), str(tmp_path / "run" / name), word]
        return Stage(name, [command], settings or {"word": word}, list(outputs), after)

    return make


def runs(runner, name="one"):
    return len((runner.folder / name / "runs").read_text())


def test_a_stage_is_run_once(runner, make_stage):
    for _ in range(3):
        runner.run(make_stage())
    assert runs(runner) == 1 and (runner.folder / "one" / "out.txt").read_text() == "a"
    done = runner.result("one")
    assert done["attempts"] == 1 and set(done["outputs"]) == {"out.txt"} and done["seconds"] >= 0


def test_changed_settings_are_one_line(runner, make_stage):
    runner.run(make_stage())
    with pytest.raises(InputError, match=r"stage one was begun with other settings \(word was a, is b\)"):
        runner.run(make_stage(word="b"))
    assert runs(runner) == 1


def test_a_begun_stage_keeps_its_settings_too(runner, make_stage):
    runner.run(make_stage())
    (runner.folder / "one" / "done.json").unlink()
    with pytest.raises(InputError, match="word was a, is b"):
        runner.run(make_stage(word="b"))
    runner.run(make_stage())
    assert runs(runner) == 2 and runner.result("one")["attempts"] == 2


def test_what_follows_notices_a_change_before_it(runner, make_stage):
    for word in ("a", "b"):
        runner.run(make_stage("one", word))
        stage = make_stage("two", after=("one",))
        if word == "a":
            runner.run(stage)
            runner.forget(["one"])
        else:
            with pytest.raises(InputError, match="stage two was begun .*stage one was"):
                runner.run(stage)


def test_forgotten_stages_are_run_again(runner, make_stage):
    for name in ("one", "two"):
        runner.run(make_stage(name))
    runner.forget(["two"])
    assert runner.result("two") is None and not (runner.folder / "two").exists()
    for name in ("one", "two"):
        runner.run(make_stage(name, word="a"))
    assert runs(runner, "one") == 1 and runs(runner, "two") == 1


@pytest.mark.parametrize("damage", ["gone", "other"])
def test_an_output_that_changed_is_made_again(runner, make_stage, caplog, damage):
    runner.run(make_stage())
    path = runner.folder / "one" / "out.txt"
    path.unlink() if damage == "gone" else path.write_text("z")
    assert changed_outputs(path.parent, runner.result("one")["outputs"]) == "out.txt"
    runner.run(make_stage())
    assert path.read_text() == "a" and runs(runner) == 2 and "out.txt is not as it was left" in caplog.text


def test_failures_are_one_line(runner, make_stage, tmp_path):
    with pytest.raises(InputError, match="ended without .*missing.txt"):
        runner.run(make_stage(outputs=["missing.txt"]))
    (tmp_path / "bad.py").write_text("raise SystemExit(3)")
    with pytest.raises(InputError, match=r"bad.py failed \(exit code 3\)"):
        runner.run(Stage("bad", [[str(tmp_path / "bad.py")]], {}, []))
    assert runner.result("bad") is None


def test_a_half_written_marker_counts_as_none(runner, make_stage):
    runner.run(make_stage())
    (runner.folder / "one" / "done.json").write_text('{"outputs": {')
    runner.run(make_stage())
    assert runs(runner) == 2


def test_a_second_run_waits_and_then_says_so(runner, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 0.3)
    with pytest.raises(InputError, match="another run still works in"), StageRunner(runner.folder).lock():
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not end a killed parent's children")
def test_a_killed_driver_takes_its_stage_along(tmp_path):
    (tmp_path / "sleep.py").write_text(
        "import os, sys, time\nopen(sys.argv[1], 'w').write(str(os.getpid()))\ntime.sleep(600)\n"
    )
    driver = (
        "import sys\nfrom solo_d2.pseudo_labels.stages import Stage, StageRunner\n"
        "runner = StageRunner(sys.argv[1])\n"
        "with runner.lock():\n    runner.run(Stage('one', [sys.argv[2:]], {}, []))\n"
    )
    pid_file = tmp_path / "pid"
    command = [sys.executable, "-c", driver, tmp_path / "run", tmp_path / "sleep.py", pid_file]
    process = subprocess.Popen([str(word) for word in command])
    child = _wait_for(lambda: pid_file.exists() and pid_file.read_text())
    process.send_signal(signal.SIGKILL)
    process.wait()
    _wait_for(lambda: not _is_alive(int(child)))
    started = json.loads((tmp_path / "run" / "one" / "started.json").read_text())
    assert started["attempts"] == 1 and StageRunner(tmp_path / "run").result("one") is None
    with StageRunner(tmp_path / "run").lock():
        pass


def _wait_for(condition, seconds=300):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


def _is_alive(pid):
    """Whether a process runs; a dead one that nobody waited for does not."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
