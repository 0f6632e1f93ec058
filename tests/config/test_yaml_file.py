"""Config files from anyone: read once, without running code, in bounded time; a mistake is one line."""

import os

import pytest
import yaml

from solo_d2.config.loading import load_config
from solo_d2.config.yaml_file import read_yaml_config
from solo_d2.utils.errors import InputError

LAUGHS = "a0: &a0 [1, 1]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}], y{n}: 1}}\n" for n in range(1, 12)
)


def written(folder, text, name="own.yaml"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_own_values_override_those_of_all_bases(tmp_path):
    written(tmp_path, "A: {x: 1, y: 1}\nB: 1\n", "one.yaml")
    written(tmp_path, "A: {y: 2}\nC: 2\n", "two.yaml")
    path = written(tmp_path, "_BASE_: [one.yaml, ./two.yaml]\nA: {z: 3}\nB: 3\n")
    assert read_yaml_config(path) == {"A": {"x": 1, "y": 2, "z": 3}, "B": 3, "C": 2}


def test_bases_are_relative_to_their_file_or_absolute(tmp_path):
    (tmp_path / "sub").mkdir()
    written(tmp_path, "A: 1\n", "root.yaml")
    inner = written(tmp_path / "sub", "_BASE_: ../root.yaml\n", "inner.yaml")
    assert read_yaml_config(written(tmp_path, f"_BASE_: {inner}\nB: 2\n")) == {"A": 1, "B": 2}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_aliases_and_byte_order_marks_are_read(tmp_path, encoding):
    path = written(tmp_path, "\ufeffA: &a {x: 1}\nB: {<<: *a, y: [2]}\n".encode(encoding))
    assert read_yaml_config(path) == {"A": {"x": 1}, "B": {"x": 1, "y": [2]}}


def test_each_file_is_opened_once(tmp_path, monkeypatch):
    opened = []
    load = yaml.load
    monkeypatch.setattr(yaml, "load", lambda file, *loader: opened.append(file.name) or load(file, *loader))
    written(tmp_path, "SEED: 3\n", "base.yaml")
    assert load_config(written(tmp_path, "_BASE_: base.yaml\n")).SEED == 3
    assert [os.path.basename(name) for name in opened] == ["own.yaml", "base.yaml"]


@pytest.mark.parametrize("scheme", ["http", "https", "ftp", "detectron2", "solo_d2", "file"])
def test_a_base_is_never_fetched(tmp_path, scheme, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("it was fetched"))
    path = written(tmp_path, f"_BASE_: {scheme}://127.0.0.1/../../x.yaml\n")
    with pytest.raises(InputError, match=r"own.yaml: its _BASE_ .* is an address: download it"):
        load_config(path)


@pytest.mark.parametrize("tag", ["apply:os.system", "new:subprocess.Popen", "name:os.system", "module:os"])
def test_no_tag_runs_code(tmp_path, tag):
    mark = tmp_path / "ran"
    for place in ("own.yaml", "base.yaml"):
        written(tmp_path, f"SEED: !!python/object/{tag} ['touch {mark}']\n", place)
        path = written(tmp_path, "_BASE_: base.yaml\n", "start.yaml")
        with pytest.raises(InputError, match=r"\.yaml is not valid YAML: could not determine a constructor"):
            load_config(path if place == "base.yaml" else tmp_path / place)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [*a]\n", "nested without end"),
        ("a: &a {b: *a}\n", "nested without end"),
        (LAUGHS, "nested without end or has too many values"),
        (MERGES, "a mapping of more than 1000 keys|a0|nested without end"),
        ("a: &a 1\nb: [" + "*a, " * 1001 + "]\n", "more than 1000 aliases"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("a: " + "{b: " * 5000, "nested too deeply"),
        ("SEED: " + "9" * 5000, "not valid YAML: Exceeds the limit"),
        ("SEED: 2001-13-45\n", "not valid YAML: month must be"),
        ("SEED: '" + "-" * 20000 + "1'\n", "own.yaml: "),
        ("SEED: '" + "(" * 20000 + "'\n", "own.yaml: "),
        ("x" * (1 << 19), "larger than 256 KiB"),
        (b"SEED: \xff\xfe\n", "not valid YAML"),
        (b"SEED: \0\n", "not valid YAML"),
        ("1: 2\n", "config key 1 is not text"),
        ("SOLVER: {2: 1}\n", "config key 2 is not text"),
        ("_BASE_: own.yaml\n", "leads back to itself"),
        ("_BASE_: 3\n", "must be the path of a file"),
        ("_BASE_: [[]]\n", "must be the path of a file"),
        ("_BASE_: .\n", "its _BASE_ .* does not exist"),
        ("VERSION: 1\n", "VERSION is 1, 2 is needed"),
        ("SEED: 1\n\x1b[31m: 2\n", "not valid YAML"),
        ('"\\e[31m": 2\n', "there is no config key"),
    ],
)
def test_hostile_files_end_in_one_printable_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as error:
        load_config(written(tmp_path, text))
    assert str(error.value).isprintable()


def test_a_group_cannot_replace_a_value_of_the_base(tmp_path):
    written(tmp_path, "A: 1\n", "base.yaml")
    with pytest.raises(InputError, match="own.yaml: A is a group of keys, but a single value"):
        read_yaml_config(written(tmp_path, "_BASE_: base.yaml\nA: {x: 1}\n"))


def test_bases_that_moved_are_found_and_those_that_were_joined_are_explained(tmp_path):
    (tmp_path / "_base_").mkdir()
    (tmp_path / "_base_" / "Base-SOLOv2.yaml").write_text("SEED: 3\n")
    own = tmp_path / "own.yaml"
    own.write_text("_BASE_: Base-SOLOv2.yaml\n")
    assert read_yaml_config(str(own)) == {"SEED": 3}
    own.write_text("_BASE_: Base-SOLOv2-3x.yaml\n")
    with pytest.raises(InputError, match="does not exist; bases are in configs/_base_ now, see CHANGELOG.md"):
        read_yaml_config(str(own))
