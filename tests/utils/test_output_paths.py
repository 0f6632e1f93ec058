"""Output names: below their folder, each once, without control characters."""

from pathlib import Path, PurePath

import pytest

from solo_d2.utils.errors import InputError
from solo_d2.utils.output_paths import output_paths, path_below, refuse_overwriting, refuse_repeated


def test_plain_names_keep_their_subfolders():
    assert output_paths("out", ["a.png", PurePath("sub", "b.png")]) == [
        Path("out/a.png"),
        Path("out/sub/b.png"),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../a.png", "__/a.png"),
        ("../../etc/a.png", "__/__/etc/a.png"),
        ("sub/../../a.png", "sub/__/__/a.png"),
        ("/etc/a.png", "__/etc/a.png"),
        ("..", "__"),
        ("./a.png", "a.png"),
    ],
)
def test_no_name_leaves_the_folder(tmp_path, name, expected):
    (path,) = output_paths(tmp_path / "out", [name])
    assert path == tmp_path / "out" / expected
    assert path.resolve().is_relative_to(tmp_path / "out")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.png", "a.png", "a.png"], ["a.png", "a_2.png", "a_3.png"]),
        (["a.png", "a.png", "a_2.png"], ["a.png", "a_2.png", "a_2_2.png"]),
        (["a_2.png", "a.png", "a.png"], ["a_2.png", "a.png", "a_3.png"]),
        (["../a.png", "__/a.png"], ["__/a.png", "__/a_2.png"]),
        (["x/a", "y/a", "x/a"], ["x/a", "y/a", "x/a_2"]),
        (["a.jpg", "A.JPG", "a.JPG"], ["a.jpg", "A_2.JPG", "a_3.JPG"]),
        (["Sub/a.png", "sub/A.png"], ["Sub/a.png", "sub/A_2.png"]),
        (["stra\u00dfe.png", "STRASSE.png"], ["stra\u00dfe.png", "STRASSE_2.png"]),
        (["u\u0308.png", "\u00fc.png"], ["u\u0308.png", "\u00fc_2.png"]),
        (["a.png", "a.png/b.png"], ["a_2.png", "a.png/b.png"]),
        (["A.png/b.png", "a.png"], ["A.png/b.png", "a_2.png"]),
    ],
)
def test_equal_names_stay_apart(names, expected):
    assert output_paths("", names) == [Path(name) for name in expected]


def test_exact_names_differ_by_case():
    names = ["a.jpg", "A.jpg", "u\u0308.png", "\u00fc.png"]
    assert output_paths("", names, exact=True) == [Path(name) for name in names]
    assert output_paths("", ["a.jpg", "a.jpg"], exact=True) == [Path("a.jpg"), Path("a_2.jpg")]


@pytest.mark.parametrize("letter", ["\n", "\x1b", "\0", "\x7f", "\x85", "\u2028", "\u202e"])
def test_control_characters_are_refused_and_not_printed(letter):
    with pytest.raises(InputError, match="has control characters: rename the file") as info:
        output_paths("out", ["fine.png", f"a{letter}b.png"])
    assert str(info.value).isprintable()


def test_letters_of_all_scripts_are_names():
    names = ["größe.png", "画像.png", "Screenshot 10.00.00\u202fAM.png", "👩\u200d🚀.png"]
    assert [path.name for path in output_paths("out", names)] == names


@pytest.mark.parametrize(("name", "message"), [("", "is empty"), (".", "is empty"), (7, "7 is not text")])
def test_no_names(name, message):
    with pytest.raises(InputError, match=message):
        output_paths("out", [name])


def test_an_exact_name_may_not_leave_the_folder(tmp_path):
    assert path_below(tmp_path, "sub/a.png") == tmp_path / "sub" / "a.png"
    for name in ("../a.png", "sub/../../a.png", "/etc/a.png", ".."):
        with pytest.raises(InputError, match=f"file name {name} leaves its folder"):
            path_below(tmp_path, name)
    with pytest.raises(InputError, match="control characters"):
        path_below(tmp_path, "a\n.png")


@pytest.mark.parametrize("names", [["a.png", "a.png"], ["a.png", "x/a.png", "A.PNG"], ["\u00fc", "u\u0308"]])
def test_exact_names_may_not_be_one_file(names):
    with pytest.raises(InputError, match="would overwrite each other: rename one of them"):
        refuse_repeated(names)
    refuse_repeated(["a.png", "x/a.png", "b.png"])


def test_other_names_of_an_input_are_that_input(tmp_path):
    (tmp_path / "a.png").touch()
    (tmp_path / "link.png").hardlink_to(tmp_path / "a.png")  # as a.png and A.PNG where case does not count
    with pytest.raises(InputError, match=r"link\.png would overwrite an input"):
        refuse_overwriting([tmp_path / "link.png"], [tmp_path / "a.png"])


def test_inputs_are_not_overwritten(tmp_path):
    refuse_overwriting([tmp_path / "b.png"], [tmp_path / "a.png"])
    with pytest.raises(InputError, match=r"a\.png would overwrite an input: name another --output"):
        refuse_overwriting([tmp_path / "x" / ".." / "a.png"], [str(tmp_path / "a.png")])
