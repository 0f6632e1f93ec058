"""One reader of JSON files, whose errors are one line."""

import json
import os

import pytest

from solo_d2.utils.errors import InputError
from solo_d2.utils.json_file import is_plain_utf8, read_json, write_json

CONTENT = {"name": "Größe", "numbers": [1, 2.5, None]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_with_and_without_a_byte_order_mark(tmp_path, encoding):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(CONTENT, ensure_ascii=False), encoding=encoding)
    assert read_json(path, "file") == CONTENT
    assert is_plain_utf8(path) == (encoding == "utf-8")


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "cannot be read as JSON: Expecting value"),
        (b'{"a": 1', "cannot be read as JSON: Expecting"),
        (b'{"a": "\x80"}', "cannot be read as JSON"),
        (b"[" * 200_000, "cannot be read as JSON: it is nested too deeply"),
        (b"1" * 5000, "cannot be read as JSON: Exceeds the limit"),
    ],
)
def test_unusable_content_is_one_line(tmp_path, content, reason):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"^annotation file .*a.json {reason}") as caught:
        read_json(path, "annotation file")
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(InputError, match="^results file .*gone.json does not exist$"):
        read_json(tmp_path / "gone.json", "results file")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_json(tmp_path, "results file")


def test_written_files_are_read_back(tmp_path):
    for name, indent in (("a/one.json", None), ("b/many.json", 2)):
        write_json(tmp_path / name, CONTENT, indent)
        assert read_json(tmp_path / name, "file") == CONTENT
        assert os.listdir((tmp_path / name).parent) == [os.path.basename(name)]
    assert (tmp_path / "b/many.json").read_text().endswith("}\n")
