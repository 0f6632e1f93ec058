"""Expanding --input: files, globs, folders, names and ids."""

from pathlib import Path

import pytest

from solo_d2.commands.predict.inputs import find_images
from solo_d2.utils.errors import InputError


def named(*arguments):
    return [(image.name.as_posix(), image.image_id) for image in find_images([str(a) for a in arguments])]


def test_file_glob_and_folder(make_pictures):
    folder = make_pictures("b.png", "a.jpg", "sub/c.PNG")
    (folder / "notes.txt").write_text("no picture")
    assert named(folder / "b.png") == [("b.png", 1)]
    assert named(folder / "*") == [("a.jpg", 1), ("b.png", 2)]
    assert named(folder) == [("a.jpg", 1), ("b.png", 2), ("sub/c.PNG", 3)]
    assert named(folder / "**" / "*.PNG") == [("c.PNG", 1)]


def test_a_picture_named_twice_is_segmented_once(make_pictures):
    folder = make_pictures("a.png")
    assert named(folder / "a.png", folder, folder / "*.png") == [("a.png", 1)]


def test_a_file_is_taken_whatever_its_suffix(make_pictures):
    folder = make_pictures("a.png")
    (folder / "a.png").rename(folder / "frame")
    assert named(folder / "frame") == [("frame", 1)]


def test_a_file_name_with_glob_characters(make_pictures):
    folder = make_pictures("a[1].png")
    assert named(folder / "a[1].png") == [("a[1].png", 1)]


def test_equal_names_stay_apart(make_pictures):
    folder = make_pictures("x/a.png", "y/a.png", "z/a_2.png")
    assert [name for name, _ in named(folder / "*" / "*.png")] == ["a.png", "a_2.png", "a_2_2.png"]


def test_links_in_circles_and_companions_of_macos(make_pictures):
    folder = make_pictures("a.png", "sub/b.png")
    (folder / "._a.png").write_bytes(b"no picture")
    for number in range(30):
        (folder / "sub" / f"up_{number}").symlink_to(folder, target_is_directory=True)
    assert named(folder) == [("a.png", 1), ("sub/b.png", 2)]
    assert named(folder / "**" / "*.png") == [("a.png", 1), ("b.png", 2)]
    assert named(folder / "**") == [("a.png", 1), ("b.png", 2)]
    assert named(folder / "a**.png") == [("a.png", 1)]


def test_a_pattern_below_the_working_folder(make_pictures, monkeypatch):
    folder = make_pictures("a.png", "sub/b.png")
    monkeypatch.chdir(folder / "sub")
    assert named("*.png") == [("b.png", 1)] and named("../*.png") == [("a.png", 1)]


def test_control_characters_are_refused(make_pictures):
    folder = make_pictures("a\x1b[31m.png")
    for argument in (folder, folder / "*.png", folder / "a\x1b[31m.png"):
        with pytest.raises(InputError, match="has control characters: rename the file"):
            find_images([str(argument)])


def test_numeric_stems_are_ids_and_others_fill_the_gaps(make_pictures):
    folder = make_pictures("0000002.png", "1.png", "b.png", "c.png", "sub/0001.png")
    assert named(folder) == [
        ("0000002.png", 2),
        ("1.png", 1),
        ("b.png", 3),
        ("c.png", 4),
        ("sub/0001.png", 5),
    ]


@pytest.mark.parametrize("argument", ["gone.png", "gone/*.png", "empty", "empty/*"])
def test_nothing_found_names_the_argument(tmp_path, argument):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("")
    with pytest.raises(InputError, match=r"--input .*" + Path(argument).parts[0]):
        find_images([str(tmp_path / argument)])
