from pathlib import Path

import pytest

from solo_d2.commands.visualize.targets import targets_by_input
from solo_d2.utils.errors import InputError


def test_a_file_per_input_and_kind():
    assert targets_by_input("out", ["in/a.png", "b.v2.jpg"], ["x", "y"]) == {
        "in/a.png": {"x": Path("out/a_x.jpg"), "y": Path("out/a_y.jpg")},
        "b.v2.jpg": {"x": Path("out/b.v2_x.jpg"), "y": Path("out/b.v2_y.jpg")},
    }


def test_equal_stems_stay_apart_and_an_input_counts_once():
    targets = targets_by_input("out", ["a.png", "a.jpg", "a.png", "sub/a.png", "a_2.png"], ["x"])
    assert [files["x"].name for files in targets.values()] == [
        "a_x.jpg",
        "a_2_x.jpg",
        "a_3_x.jpg",
        "a_2_2_x.jpg",
    ]


def test_no_input_is_overwritten(tmp_path):
    with pytest.raises(InputError, match=r"a_x\.jpg would overwrite an input"):
        targets_by_input(tmp_path, [str(tmp_path / "a.png"), str(tmp_path / "a_x.jpg")], ["x"])


@pytest.mark.parametrize("path", ["a\x1b.png", "sub\n/a.png"])
def test_control_characters_are_refused(path):
    with pytest.raises(InputError, match="has control characters"):
        targets_by_input("out", [path], ["x"])
