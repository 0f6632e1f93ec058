import subprocess
import sys

import pytest

from solo_d2.engine.run_folder import LOCK_NAME, claimed_folder
from solo_d2.utils.errors import InputError

# Claims a folder, says so, and waits for its input to end.
HOLDER = """
import sys
from solo_d2.engine.run_folder import claimed_folder
with claimed_folder(sys.argv[1], resume=False, policy="refuse") as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


def claim(folder, resume=False, policy="number"):
    with claimed_folder(str(folder), resume=resume, policy=policy) as claimed:
        return claimed


@pytest.fixture
def used(tmp_path):
    """A folder that a training has used."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "last_checkpoint").write_text("model_final.pth")
    (folder / "model_final.pth").write_text("weights")
    return folder


@pytest.fixture
def busy(tmp_path):
    """A folder that another process trains in, and that process."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", HOLDER, str(tmp_path / "out")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline().strip() == str(tmp_path / "out")
    yield tmp_path / "out", process
    process.stdin.close()
    process.wait()


@pytest.mark.parametrize("policy", ["number", "refuse"])
def test_an_unused_folder_is_taken(tmp_path, policy):
    out = tmp_path / "new" / "out"
    assert claim(out, policy=policy) == claim(out, policy=policy) == str(out)
    for name in ("log.txt", "evaluation.json", "config.yaml", "model_r50.pth", "metrics.json"):
        (out / name).write_text("" if name == "metrics.json" else "of an evaluation")
    assert claim(out, policy=policy) == str(out)
    assert claim(out, resume=True, policy=policy) == str(out)


@pytest.mark.parametrize(
    "trace", ["last_checkpoint", "model_0000009.pth", "model_final.pth", "resume_0000009.pth", "metrics.json"]
)
def test_a_training_s_files_make_a_folder_used(tmp_path, trace):
    (tmp_path / trace).write_text("content")
    with pytest.raises(
        InputError, match=rf"files of another training \({trace}\): continue it with --resume"
    ):
        claim(tmp_path, policy="refuse")


def test_a_used_folder_gets_a_numbered_neighbor(used):
    assert claim(used) == f"{used}_1"
    (used.with_name("out_1") / "metrics.json").write_text("{}")
    assert claim(used) == claim(f"{used}/") == f"{used}_2"
    assert claim(used, resume=True) == str(used)


def test_two_trainings_at_once(busy, monkeypatch):
    folder, process = busy
    monkeypatch.setattr("solo_d2.engine.run_folder._PATIENCE", 0.2)
    for resume in (False, True):
        with pytest.raises(InputError, match=rf"a training \(process {process.pid} on .*\) is writing into"):
            claim(folder, resume=resume, policy="refuse")
    with pytest.raises(InputError, match="is writing into"):
        claim(folder, resume=True)
    assert claim(folder) == f"{folder}_1"
    process.kill()
    process.wait()
    assert claim(folder, resume=True) == str(folder)


def test_unfinished_files_are_deleted(used):
    (used / ".model_final.pth.0123.partial").write_text("half")
    (used / "other").mkdir()
    (used / "inference").mkdir()
    (used / "inference" / ".coco_instances_results.json.0123.partial").write_text("half")
    (used / "other" / ".x.0123.partial").write_text("another run's")
    claim(used, resume=True)
    assert not (used / ".model_final.pth.0123.partial").exists()
    assert not list((used / "inference").iterdir())
    assert (used / "other" / ".x.0123.partial").exists()


def test_what_cannot_be_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        InputError, match=r"OUTPUT_DIR .*file cannot be written to \(.*\): choose another folder"
    ):
        claim(tmp_path / "file")


def test_policies(tmp_path):
    with pytest.raises(InputError, match="OUTPUT_DIR_IF_USED is one of number, refuse, not 'mix'"):
        claim(tmp_path, policy="mix")
    assert not (tmp_path / LOCK_NAME).exists()
