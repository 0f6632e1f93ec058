"""Stages run once, resume after a kill, and detect changes."""

import contextlib
import errno

import pytest

from solo_d2.pseudo_labels import stages as module
from solo_d2.pseudo_labels.stages import Stage, StageRunner, changed_outputs
from solo_d2.utils import file_lock
from solo_d2.utils.errors import InputError

# Notes that it ran, copies its words into a file.
SCRIPT = """
import sys
from pathlib import Path
folder, *words = sys.argv[1:]
with open(Path(folder, "runs"), "a") as file:
    file.write("x")
Path(folder, "out.txt").write_text(" ".join(words))
"""
# Leaves a file that has its settings in the first line alone.
LABELS = """
import sys
from pathlib import Path
path = Path(sys.argv[1])
if not (path.exists() and path.read_text().startswith("settings")):
    path.write_text("settings\\nlabels\\n")
"""
# Resumes from the file that last_checkpoint names, and fails without it.
TRAINING = """
import sys
from pathlib import Path
path = Path(sys.argv[1])
last = path.with_name("last_checkpoint")
if last.exists():
    assert path.with_name(last.read_text()).read_text().endswith("weights")
path.write_text("trained weights")
last.write_text(path.name)
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


@contextlib.contextmanager
def patched_lock(runner):
    """As if the first runner, whose lock the fixture holds, were gone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "lock_file", lambda file, **options: True)
        with runner.lock():
            yield runner


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
    with pytest.raises(InputError, match=r"stage one was started with other settings \(word was a, is b\)"):
        runner.run(make_stage(word="b"))
    assert runs(runner) == 1


def test_a_begun_stage_keeps_its_settings_too(runner, make_stage):
    runner.run(make_stage())
    (runner.folder / "one" / "done.json").unlink()
    with pytest.raises(InputError, match="word was a, is b"):
        runner.run(make_stage(word="b"))
    runner.run(make_stage())
    assert runs(runner) == 2 and runner.result("one")["attempts"] == 2


def test_all_changed_stages_are_named_at_once(runner, make_stage):
    for name in ("one", "two", "three"):
        runner.run(make_stage(name))
    after = [make_stage("one", "b"), make_stage("two"), make_stage("three", "c")]
    with pytest.raises(InputError, match=r"stage one .*word was a, is b.*--redo one three reruns"):
        runner.check(after)
    runner.check([after[1], make_stage("not begun")])


def test_a_folder_of_something_else_is_left_alone(runner, make_stage):
    """Such as another training's, in which --resume would go on."""
    folder = runner.folder / "one"
    folder.mkdir()
    (folder / ".started.json.0a.partial").write_text("{")
    runner.check([make_stage()])  # as a kill at the right moment leaves it
    (folder / "model_final.pth").write_text("another training's")
    with pytest.raises(InputError, match="one has foreign files"):
        runner.run(make_stage())
    assert (folder / "model_final.pth").exists()


def test_what_a_killed_stage_was_writing_is_removed_and_nobody_elses(runner, make_stage):
    kept = runner.folder / "another training" / ".model_0001.pth.0a.partial"
    gone = [
        runner.folder / "one" / "datasets" / ".x.json.1b.partial",
        runner.folder / ".report.md.2c.partial",
    ]
    runner.run(make_stage())
    (runner.folder / "one" / "done.json").unlink()
    for path in (kept, *gone):
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    with patched_lock(StageRunner(runner.folder)) as again:
        again.run(make_stage())
    assert kept.exists() and not any(path.exists() for path in gone)


def test_a_crash_while_a_stage_is_forgotten_leaves_nothing_to_go_on_with(runner, make_stage, monkeypatch):
    runner.run(make_stage())

    def crash(*arguments, **more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module.shutil, "rmtree", crash)
        runner.forget(["one"])
    assert not (runner.folder / "one").exists()
    with patched_lock(StageRunner(runner.folder)):
        assert [path.name for path in runner.folder.iterdir()] == ["driver.lock"]


def test_a_stage_remade_to_other_bytes_remakes_what_follows(runner, make_stage, caplog):
    def run_both(word):
        return runner.run(make_stage("one", word)), runner.run(make_stage("two", after=("one",)))

    assert run_both("a") == (True, True) and run_both("a") == (False, False)
    runner.forget(["one"])
    assert run_both("a") == (True, False)  # the same bytes
    runner.forget(["one"])
    assert run_both("b") == (True, True) and "two: its inputs changed" in caplog.text
    assert runs(runner, "two") == 1 and runner.result("two")["attempts"] == 1
    assert run_both("b") == (False, False)


def test_forgotten_stages_are_run_again(runner, make_stage):
    for name in ("one", "two"):
        runner.run(make_stage(name))
    runner.forget(["two"])
    assert runner.result("two") is None and not (runner.folder / "two").exists()
    for name in ("one", "two"):
        runner.run(make_stage(name, word="a"))
    assert runs(runner, "one") == 1 and runs(runner, "two") == 1


@pytest.mark.parametrize("damage", ["gone", "other"])
def test_an_output_that_changed_is_made_afresh(runner, make_stage, caplog, damage):
    runner.run(make_stage())
    path = runner.folder / "one" / "out.txt"
    path.unlink() if damage == "gone" else path.write_text("z")
    assert changed_outputs(path.parent, runner.result("one")["outputs"]) == "out.txt"
    assert runner.run(make_stage())
    assert path.read_text() == "a" and runs(runner) == 1 and "its out.txt changed" in caplog.text


@pytest.mark.parametrize("damage", ["gone", "cut"])
@pytest.mark.parametrize("kind", ["labels", "training"])
def test_a_damaged_output_of_a_stage_that_goes_on_by_itself(runner, tmp_path, kind, damage):
    """Like the real ones: labels accept a finished file, trainings follow last_checkpoint."""
    (tmp_path / "labels.py").write_text(LABELS)
    (tmp_path / "training.py").write_text(TRAINING)
    name = {"labels": "labels.json", "training": "model_final.pth"}[kind]
    folder = runner.folder / "one"
    stage = Stage("one", [[str(tmp_path / f"{kind}.py"), str(folder / name)]], {}, [name])
    runner.run(stage)
    whole = (folder / name).read_bytes()
    (folder / name).unlink() if damage == "gone" else (folder / name).write_bytes(whole[:-5])
    assert runner.run(stage) and (folder / name).read_bytes() == whole
    assert not runner.run(stage)


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


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, caplog):
    def refuse(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(file_lock.fcntl, "flock", refuse)
    with StageRunner(tmp_path).lock():
        assert "cannot be locked" in caplog.text and "do not start a second run" in caplog.text


def test_a_second_run_waits_and_then_says_so(runner, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 0.3)
    with pytest.raises(InputError, match="another run still works in"), StageRunner(runner.folder).lock():
        pass
