"""Files read, digests, and settings compared."""

import pytest

from detectron2.config import CfgNode
from solo_d2.pseudo_labels.files import describe_changes, digest_of_file, flat_json, read_object


@pytest.mark.parametrize("content", [None, "", '{"a": 1', "[1]", "\x00"])
def test_damaged_json_is_none(tmp_path, content):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_text(content)
    assert read_object(path) is None
    path.write_text('{"a": 1}')
    assert read_object(path) == {"a": 1}


def test_digests(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"1")
    assert digest_of_file(tmp_path / "a") == digest_of_file(tmp_path / "b")
    (tmp_path / "b").write_bytes(b"2")
    assert digest_of_file(tmp_path / "a") != digest_of_file(tmp_path / "b")
    assert digest_of_file("detectron2://one.pkl") != digest_of_file("detectron2://other.pkl")


def test_flatten_and_changes():
    node = CfgNode({"A": {"B": (1, 2), "C": "x"}, "D": 0.5})
    flat = flat_json(node, "N")
    assert flat == {"N.A.B": [1, 2], "N.A.C": "x", "N.D": 0.5}
    assert describe_changes(flat, dict(flat)) == ""
    assert describe_changes(flat, flat | {"N.D": 1.0}) == "N.D was 0.5, is 1.0"
    assert describe_changes({}, {"a": 1}) == "a was None, is 1"
    assert describe_changes({}, dict.fromkeys("abcde", 1)).endswith("c was None, is 1; and 2 more")
