"""Atomic writes: a file is complete or absent."""

import errno
import os

import pytest

from solo_d2.utils.atomic_file import UNFINISHED, atomic_write, write_bytes, write_text
from solo_d2.utils.errors import InputError


def test_a_failed_write_leaves_the_former_file(tmp_path):
    path = tmp_path / "folder" / "file.txt"
    write_text(path, ["one", "two"])

    def failing():
        yield "half"
        raise OSError(errno.ENOSPC, "disk full")

    with pytest.raises(InputError, match=r"file.txt could not be written \(disk full\)") as caught:
        write_text(path, failing())
    assert "\n" not in str(caught.value)
    assert path.read_text() == "onetwo" and os.listdir(path.parent) == ["file.txt"]


def test_a_file_is_no_folder_to_write_into(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="could not be written"):
        write_text(tmp_path / "file" / "x.txt", ["a"])


def test_two_writers_do_not_share_a_name(tmp_path):
    with atomic_write(tmp_path / "x") as one, atomic_write(tmp_path / "x") as other:
        one.write_text("one")
        other.write_text("other")
        assert sorted(tmp_path.glob(UNFINISHED)) == sorted([one, other])
    assert (tmp_path / "x").read_text() == "one" and os.listdir(tmp_path) == ["x"]


def test_other_errors_are_passed_on_and_named_causes_explained(tmp_path):
    with pytest.raises(RuntimeError), atomic_write(tmp_path / "x") as temporary:
        temporary.write_text("half")
        raise RuntimeError("a bug")
    with pytest.raises(InputError, match=r"\(no space\)"), atomic_write(tmp_path / "x", (RuntimeError,)):
        raise RuntimeError("no space\nsecond line")
    assert os.listdir(tmp_path) == []


def test_writers_that_go_by_the_suffix_get_it(tmp_path):
    with atomic_write(tmp_path / "a" / "x.mp4", make_folder=True, keep_suffix=True) as temporary:
        assert temporary.suffix == ".mp4"
        temporary.write_text("film")
        assert list((tmp_path / "a").glob(UNFINISHED)) == [temporary]
    assert os.listdir(tmp_path / "a") == ["x.mp4"]


def test_only_synced_files_wait_for_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("os.fsync", synced.append)
    write_bytes(tmp_path / "a" / "x", b"1", sync=False)
    assert not synced
    write_bytes(tmp_path / "a" / "x", b"2")
    assert len(synced) == 1 and (tmp_path / "a" / "x").read_bytes() == b"2"
    assert os.listdir(tmp_path / "a") == ["x"]
