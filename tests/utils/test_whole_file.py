"""Files that appear whole or not at all."""

import errno
import os

import pytest

from solo_d2.utils.atomic_file import UNFINISHED, replacing, write_whole
from solo_d2.utils.errors import InputError


def test_a_failed_write_leaves_the_former_file(tmp_path):
    path = tmp_path / "folder" / "file.txt"
    write_whole(path, ["one", "two"])

    def failing():
        yield "half"
        raise OSError(errno.ENOSPC, "disk full")

    with pytest.raises(InputError, match=r"file.txt could not be written \(disk full\)") as caught:
        write_whole(path, failing())
    assert "\n" not in str(caught.value)
    assert path.read_text() == "onetwo" and os.listdir(path.parent) == ["file.txt"]


def test_a_file_is_no_folder_to_write_into(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="could not be written"):
        write_whole(tmp_path / "file" / "x.txt", ["a"])


def test_two_writers_do_not_share_a_name(tmp_path):
    with replacing(tmp_path / "x") as one, replacing(tmp_path / "x") as other:
        one.write_text("one")
        other.write_text("other")
        assert sorted(tmp_path.glob(UNFINISHED)) == sorted([one, other])
    assert (tmp_path / "x").read_text() == "one" and os.listdir(tmp_path) == ["x"]


def test_other_errors_are_passed_on_and_named_causes_explained(tmp_path):
    with pytest.raises(RuntimeError), replacing(tmp_path / "x") as temporary:
        temporary.write_text("half")
        raise RuntimeError("a bug")
    with pytest.raises(InputError, match=r"\(no space\)"), replacing(tmp_path / "x", (RuntimeError,)):
        raise RuntimeError("no space\nsecond line")
    assert os.listdir(tmp_path) == []
