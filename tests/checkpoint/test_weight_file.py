"""Intact, truncated, malicious, and unrelated files."""

import os
import pickle
import resource
import signal
import stat

import numpy as np
import pytest
import torch

from solo_d2.checkpoint import read_weight_file, write_weight_file
from solo_d2.checkpoint.weight_file import save_atomically
from solo_d2.utils.atomic_file import UNFINISHED
from solo_d2.utils.errors import InputError

WEIGHTS = {"a.weight": torch.arange(6.0).view(2, 3).t(), "half": torch.ones(2, dtype=torch.bfloat16)}


class Malicious:
    def __reduce__(self):
        return print, ("executed",)


class Harmless:
    """A class that old checkpoints may hold."""


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_round_trip(tmp_path, ending):
    path = str(tmp_path / f"m{ending}")
    write_weight_file(path, WEIGHTS, origin="mmdet", preprocessing={"mean": [1.5], "stride_in_1x1": False})
    content = read_weight_file(path)
    assert content["origin"] == "mmdet"
    assert content["preprocessing"] == {"mean": [1.5], "stride_in_1x1": False}
    assert all(torch.equal(content["model"][name], value) for name, value in WEIGHTS.items())
    assert [p.name for p in tmp_path.iterdir()] == [f"m{ending}"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o666 & ~umask


def test_foreign_safetensors_metadata(tmp_path):
    from safetensors.torch import save_file

    save_file({"w": torch.ones(1)}, str(tmp_path / "m.safetensors"), {"format": "pt", "depth": "18"})
    content = read_weight_file(str(tmp_path / "m.safetensors"))
    assert content["format"] == "pt" and content["depth"] == 18


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "m.pth"
    save_atomically({"model": torch.ones(2)}, str(path))
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        save_atomically({"model": lambda: None}, str(path))
    assert torch.equal(read_weight_file(str(path))["model"], torch.ones(2))
    assert list(tmp_path.iterdir()) == [path]


ENDINGS = pytest.mark.parametrize("ending", [".pth", ".safetensors"])


def not_written(path, reason):
    before = sorted(path.parent.glob("*"))
    with pytest.raises(InputError) as error:
        write_weight_file(str(path), WEIGHTS, origin="mmdet")
    text = str(error.value)
    assert text.startswith(f"{path} could not be written ({reason}") and "\n" not in text
    assert "partial" not in text.removeprefix(str(path)) and sorted(path.parent.glob("*")) == before


@ENDINGS
def test_a_folder_is_no_file_to_write(tmp_path, ending):
    (tmp_path / f"m{ending}").mkdir()
    not_written(tmp_path / f"m{ending}", "Is a directory")


@ENDINGS
def test_a_missing_folder(tmp_path, ending):
    not_written(tmp_path / "absent" / f"m{ending}", "No such file or directory")


@ENDINGS
def test_a_full_disk(tmp_path, ending):
    """As far as a limit on the file's size is like one."""
    path = tmp_path / f"m{ending}"
    save_atomically({"model": torch.ones(2)}, str(tmp_path / "other.pth"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        not_written(path, "")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, former)


@ENDINGS
def test_an_interrupted_write_leaves_nothing(tmp_path, ending, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_weight_file(str(tmp_path / f"m{ending}"), WEIGHTS)
    assert list(tmp_path.iterdir()) == []


@ENDINGS
def test_written_to_the_disk_before_it_takes_its_place(tmp_path, ending, monkeypatch):
    calls = []
    real_sync, real_replace = os.fsync, os.replace
    monkeypatch.setattr("os.fsync", lambda file: calls.append("sync") or real_sync(file))
    monkeypatch.setattr("os.replace", lambda *paths: calls.append(paths) or real_replace(*paths))
    path = tmp_path / f"m{ending}"
    write_weight_file(str(path), WEIGHTS)
    sync, (temporary, target) = calls
    assert sync == "sync" and target == path and temporary.match(UNFINISHED)


@pytest.mark.parametrize("ending", [".pth", ".safetensors", ".pkl"])
@pytest.mark.parametrize("size", [0, 10, 60, -1])
def test_truncated(tmp_path, ending, size):
    path = tmp_path / f"m{ending}"
    if ending == ".pkl":
        path.write_bytes(pickle.dumps({"model": {"w": np.arange(100.0)}}))
    else:
        write_weight_file(str(path), WEIGHTS)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError) as error:
        read_weight_file(str(path))
    text = str(error.value)
    assert str(path) in text and "truncated" in text and "\n" not in text


def small_file(path, kind):
    if kind == "pickle":
        path.write_bytes(pickle.dumps({"model": {"w": np.arange(4.0), "b": np.float32(1)}}, 2))
    elif kind == "safetensors":
        write_weight_file(str(path), {"w": torch.ones(2)}, origin="mmdet")
    else:
        torch.save({"w": torch.ones(2)}, path, _use_new_zipfile_serialization=kind == "zip")


@pytest.mark.parametrize(
    ("kind", "ending"),
    [
        ("zip", ".pth"),
        ("legacy", ".pth"),
        ("pickle", ".pkl"),
        ("pickle", ".pth"),
        ("safetensors", ".safetensors"),
    ],
)
def test_damage_anywhere_is_one_line_or_harmless(tmp_path, kind, ending):
    """A changed byte, or two, or an end cut off: the file is read or refused in one line."""
    path = tmp_path / f"m{ending}"
    small_file(path, kind)
    whole, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for trial in range(12):
        damaged = bytearray(whole)
        for place in rng.integers(len(whole), size=1 + trial % 2):
            damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged[: rng.integers(len(whole))] if trial % 4 == 3 else damaged)
        try:
            assert isinstance(read_weight_file(str(path)), dict)
        except InputError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error)
    assert refused >= 3


@pytest.mark.parametrize("error", [AttributeError, TypeError, IndexError, MemoryError, AssertionError])
def test_whatever_reading_raises_is_one_line(tmp_path, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error("first\nsecond")

    small_file(tmp_path / "m.pth", "zip")
    monkeypatch.setattr("torch.load", fail)
    with pytest.raises(InputError, match=r"m\.pth cannot be read as a checkpoint \(first\)"):
        read_weight_file(str(tmp_path / "m.pth"))


@pytest.mark.parametrize("name", ["new.pth", "legacy.pth", "plain.pkl", "renamed.pth"])
def test_nothing_is_executed_unless_asked_for(tmp_path, name, capsys):
    path = tmp_path / name
    content = {"state_dict": {"w": torch.ones(1)}, "meta": Malicious()}
    if name in ("new.pth", "legacy.pth"):
        torch.save(content, path, _use_new_zipfile_serialization=name == "new.pth")
    else:
        path.write_bytes(pickle.dumps({"w": np.ones(1), "meta": Malicious()}))
    with pytest.raises(InputError, match=f"{name} cannot be read") as error:
        read_weight_file(str(path))
    assert "executed" not in capsys.readouterr().out
    assert "\n" not in str(error.value)
    if name != "renamed.pth":
        assert "--allow-pickle" in str(error.value)
        content = read_weight_file(str(path), allow_pickle=True)
        assert "executed" in capsys.readouterr().out and content


def test_allowing_pickles_does_not_hide_damage(tmp_path):
    (tmp_path / "m.pth").write_bytes(b"\x80\x02}q\x00")
    with pytest.raises(InputError, match="truncated"):
        read_weight_file(str(tmp_path / "m.pth"), allow_pickle=True)


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"\x89PNG\r\n\x1a\n", "a picture"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b'{"a": 1}', "a JSON file"),
    ],
)
@pytest.mark.parametrize("ending", [".pth", ".pkl", ".safetensors"])
def test_other_files(tmp_path, start, what, ending):
    path = tmp_path / f"m{ending}"
    path.write_bytes(start + b"\n" * 100)
    with pytest.raises(InputError, match=f"m{ending} is no weight file but {what}"):
        read_weight_file(str(path))


def test_missing_files_and_lists(tmp_path):
    for name in ("absent.pth", "absent.pkl", "absent.safetensors"):
        with pytest.raises(InputError, match=f"{name} does not exist"):
            read_weight_file(str(tmp_path / name))
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(InputError, match="not a checkpoint: it holds a list"):
        read_weight_file(str(tmp_path / "list.pth"))
