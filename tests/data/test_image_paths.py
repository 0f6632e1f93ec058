"""Lists of images without labels."""

import json
from pathlib import Path

import pytest

from solo_d2.data.image_paths import list_images, number_images
from solo_d2.utils.errors import InputError


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "000007.JPG", "sub/c.png", "notes.txt"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "images"


def test_folder_in_the_order_of_names(folder):
    listed = list_images(folder)
    assert listed.root == folder and len(listed) == 3
    assert listed.names == ("000007.JPG", "b.png", "sub/c.png") and listed.ids == (7, 1, 2)
    assert listed.first(2).names == listed.names[:2] and listed.first(2).ids == (7, 1)


def test_text_list(folder, tmp_path):
    (tmp_path / "list.txt").write_text("images/b.png\n\n images/sub/c.png \nimages/b.png\n")
    listed = list_images(tmp_path / "list.txt")
    assert (listed.root, listed.names) == (tmp_path, ("images/b.png", "images/sub/c.png"))
    assert list_images(tmp_path / "list.txt", folder).root == folder


def test_coco_labels_are_never_read(tmp_path):
    content = {
        "images": [{"id": 9, "file_name": "z.png", "height": 3}, {"id": 4, "file_name": "a.png"}],
        "annotations": "no annotations at all",
    }
    (tmp_path / "coco.json").write_text(json.dumps(content))
    listed = list_images(tmp_path / "coco.json", "pictures")
    assert listed.names == ("z.png", "a.png") and listed.ids == (9, 4) and listed.root == Path("pictures")


@pytest.mark.parametrize("number", [None, "x", 1.5, float("inf"), 10**400, [1], True])
def test_ids_that_are_no_whole_numbers_are_replaced(tmp_path, caplog, number):
    content = {"images": [{"id": number, "file_name": "z.png"}, {"id": "4", "file_name": "7.png"}]}
    (tmp_path / "coco.json").write_text(json.dumps(content))
    assert list_images(tmp_path / "coco.json").ids == (1, 7)
    assert "coco.json: image ids that are no whole numbers are renumbered" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.json", None, "does not exist"),
        ("bad.json", "{", "cannot be read as JSON"),
        ("bad.json", "[]", "no COCO JSON"),
        ("bad.json", '{"images": [{"id": 1}]}', "image #0 has no file_name"),
        ("bad.json", '{"images": [{"id": 1, "file_name": null}]}', "image #0 has no file_name"),
        ("bad.json", '{"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]}', "twice"),
        ("empty.txt", "\n", "has no images"),
        ("empty", None, "has no images"),
    ],
)
def test_mistakes_are_one_line(tmp_path, name, content, message):
    if name == "empty":
        (tmp_path / name).mkdir()
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message) as info:
        list_images(tmp_path / name)
    assert "\n" not in str(info.value) and name in str(info.value)


def test_binary_file_is_no_list(tmp_path):
    (tmp_path / "image.bin").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(InputError, match="no text file"):
        list_images(tmp_path / "image.bin")


def test_ids_from_numeric_stems():
    names = ["12.png", "a.png", "012.png", "1.png", "\u0663.png"]
    assert number_images([Path(name) for name in names]) == [12, 2, 3, 1, 4]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_text_list_with_a_byte_order_mark(tmp_path, encoding):
    listed = tmp_path / "list.txt"
    listed.write_bytes("\ufeffa.jpg\r\n\u00fc.jpg\r\n".encode(encoding))
    assert list_images(listed).names == ("a.jpg", "\u00fc.jpg")


def test_links_in_circles_end(folder):
    """The same folder is listed once, under its own name if it is below the given one."""
    (folder / "sub" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "sub" / "self").symlink_to(folder / "sub", target_is_directory=True)
    for name in ("x", "y"):
        (folder / name).mkdir()
    for first, second in (("x", "y"), ("y", "x")):
        for number in range(30):
            (folder / first / f"to_{number}").symlink_to(folder / second, target_is_directory=True)
    (folder / "again").symlink_to(folder / "sub", target_is_directory=True)
    (folder.parent / "outside").mkdir()
    (folder.parent / "outside" / "d.png").touch()
    (folder / "elsewhere").symlink_to(folder.parent / "outside", target_is_directory=True)
    (folder / "broken").symlink_to(folder / "nowhere")
    assert list_images(folder).names == ("000007.JPG", "b.png", "elsewhere/d.png", "sub/c.png")


def test_companions_of_macos_are_no_images(folder):
    (folder / "._b.png").write_bytes(b"\0\5\x16\7")
    (folder / "sub" / "._c.png").touch()
    assert list_images(folder).names == ("000007.JPG", "b.png", "sub/c.png")


def test_ids_that_no_evaluation_could_use_are_not_taken_from_names():
    assert number_images([Path("9" * 200 + ".png"), Path("12.png")]) == [1, 12]
