"""Every kind of mistake in a panoptic file is named, counted and placed; the rest stays."""

import copy
import shutil
from pathlib import Path

import pytest

from solo_d2.data.datasets.panoptic_cleaning import clean_panoptic


def clean(files):
    before = copy.deepcopy(files.content)
    cleaned, findings = clean_panoptic(files.content, files.panoptic, files.images)
    assert files.content == before  # the input is not changed
    return cleaned, [*findings.skipped.lines(), *findings.fixed.lines()]


def test_sound_content_stays(panoptic_set):
    assert clean(panoptic_set) == (panoptic_set.content, [])


def change(path, value):
    """A function that sets ``content[path]``, a path like "annotations 0 image_id"."""

    def apply(files):
        *parents, leaf = (int(part) if part.isdigit() else part for part in path.split())
        target = files.content
        for part in parents:
            target = target[part]
        if value is None:
            del target[leaf]
        else:
            target[leaf] = value

    return apply


SEGMENT = "annotations 0 segments_info 0"


@pytest.mark.parametrize(
    ("spoil", "line", "left"),
    [
        (change("categories 0 id", "x"), "1 x category without a whole-number id (category #0)", (2, 3)),
        (change("categories 0 id", True), "1 x category without a whole-number id (category #0)", (2, 3)),
        (change("categories 1 id", 3), "1 x category id used twice (category 3)", (2, 4)),
        (change("categories 1 isthing", None), "isthing is neither 0 nor 1 (category 5)", (2, 4)),
        (change("categories 1 name", None), "without a name named by its id (category 5)", (2, 5)),
        (change("categories 1 color", [1, 2]), "three numbers from 0 to 255 dropped (category 5)", (2, 5)),
        (change("categories", []), "5 x segment of a category that the JSON does not list", (2, 0)),
        (change("images 0 height", None), "1 x image size read from the image file (1.jpg)", (2, 5)),
        (change("images 0 height", 48), "1 x image whose listed size is not that of its file", (1, 1)),
        (change("images 1 id", 1), "2 x image whose id another image has, too (1.jpg, 2.jpg)", (0, 0)),
        (change("images 1 file_name", "no.jpg"), "1 x image file missing (no.jpg)", (1, 4)),
        (change("images", []), "2 x annotation of an image that is not usable (1.png, 2.png)", (0, 0)),
        (change("annotations 0 file_name", None), "name of its PNG, or without segments_info (", (1, 1)),
        (change("annotations 0 segments_info", "x"), "or without segments_info (annotation #0)", (1, 1)),
        (
            change("annotations 0 image_id", 7),
            "1 x annotation of an image that is not usable (1.png)",
            (1, 1),
        ),
        (change("annotations 0 image_id", 2.0), "whose size is not its image's (1.png)", (1, 1)),
        (change("annotations 1 image_id", 2.0), "id written as text or as a decimal number (2.png)", (2, 5)),
        (change("annotations 1 image_id", True), "annotation of an image that is not usable", (1, 4)),
        (change("annotations 1 image_id", 1), "1 x image annotated twice (2.png)", (1, 4)),
        (
            change("annotations 1 file_name", "no.png"),
            "panoptic PNG that does not exist (no.png)",
            (1, 4),
        ),
        (change("annotations 0 file_name", "2.png"), "PNG whose size is not its image's (2.png)", (1, 1)),
        (change("annotations 1 file_name", "text.png"), "1 x panoptic PNG that cannot be used", (1, 4)),
        (change("annotations", []), "2 x image without a usable annotation (1.jpg, 2.jpg)", (0, 0)),
        (change(f"{SEGMENT} id", 0), "id that is no whole number from 1 to 16777215 (1.png: 0)", (2, 4)),
        (change(f"{SEGMENT} id", True), "no whole number from 1 to 16777215 (1.png: True)", (2, 4)),
        (change(f"{SEGMENT} id", "70000"), "as text or as a decimal number (1.png: 70000)", (2, 5)),
        (change(f"{SEGMENT} category_id", 9.0), "as a decimal number (1.png: 70000)", (2, 5)),
        (change(f"{SEGMENT} id", 301), "segment id used twice in an image (1.png: 301)", (2, 4)),
        (change(f"{SEGMENT} category_id", 4), "category that the JSON does not list (1.png: 70000)", (2, 4)),
        (change(f"{SEGMENT} iscrowd", 2), "1 x iscrowd set to 0 (1.png: 70000)", (2, 5)),
        (change(f"{SEGMENT} bbox", [1, 2]), "1 x bbox that is not four numbers dropped", (2, 5)),
    ],
)
def test_mistakes(panoptic_set, spoil, line, left):
    shutil.copy(panoptic_set.json, Path(panoptic_set.panoptic) / "text.png")
    spoil(panoptic_set)
    cleaned, found = clean(panoptic_set)
    assert any(line in one for one in found), found
    segments = [segment for one in cleaned["annotations"] for segment in one["segments_info"]]
    assert (len(cleaned["images"]), len(segments)) == left
    assert [one["image_id"] for one in cleaned["annotations"]] == [one["id"] for one in cleaned["images"]]


def test_a_thing_and_a_stuff_class_may_have_one_name(panoptic_set):
    for place, name in enumerate(["cat", "cat", "cat", "sea"]):
        panoptic_set.content["categories"][place]["name"] = name
    cleaned, found = clean(panoptic_set)
    assert [one["name"] for one in cleaned["categories"]] == ["cat", "cat (5)", "cat", "sea"]
    assert found == ["1 x category name used twice, its id appended (category 5)"]
