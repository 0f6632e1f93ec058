"""Hashes against hashlib on whole contents."""

import hashlib

from solo_d2.utils import hashing


def test_hash_of_a_file_of_several_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(hashing, "_BLOCK", 7)
    for size in (0, 7, 50):
        content = bytes(range(size))
        (tmp_path / "f").write_bytes(content)
        assert hashing.hash_file(tmp_path / "f") == hashlib.sha256(content).hexdigest()


def test_hash_of_a_value():
    assert hashing.hash_value({"a": 1, "b": (2,)}) == hashing.hash_value({"b": [2], "a": 1})
    assert hashing.hash_value({"a": 1}) != hashing.hash_value({"a": 2})
