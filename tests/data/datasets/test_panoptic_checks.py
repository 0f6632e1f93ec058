"""Every contradiction between an annotation set and its pictures is named, counted and placed."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from solo_d2.data.datasets.panoptic_checks import check_pictures, read_panoptic_json
from solo_d2.utils.atomic_file import write_bytes
from solo_d2.utils.errors import InputError
from solo_d2.utils.panoptic_png import encode_ids


def picture_lines(files, workers=1):
    return check_pictures(files.content, files.panoptic, files.images, workers).lines()


def test_a_sound_set(panoptic_set):
    assert read_panoptic_json(panoptic_set.json) == panoptic_set.content
    assert picture_lines(panoptic_set, workers=2) == []


def test_pictures_on_their_side_have_their_upright_size(panoptic_set):
    """The JSON and the PNG are upright; the picture is turned by its EXIF note."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    path = Path(panoptic_set.images, "1.jpg")
    Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    assert picture_lines(panoptic_set) == []


def test_unusable_files(panoptic_set, tmp_path):
    with pytest.raises(InputError, match="gone.json does not exist"):
        read_panoptic_json(tmp_path / "gone.json")
    Path(panoptic_set.json).write_text("{")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        read_panoptic_json(panoptic_set.json)
    panoptic_set.write({"images": [], "annotations": []})
    with pytest.raises(InputError, match="needs the lists images, annotations, categories"):
        read_panoptic_json(panoptic_set.json)


def rewrite(files, ids):
    write_bytes(Path(files.panoptic) / "1.png", encode_ids(ids))


def test_ids_that_png_and_json_do_not_share(panoptic_set):
    ids = panoptic_set.ids[0].copy()
    ids[ids == 302] = 999
    rewrite(panoptic_set, ids)
    assert picture_lines(panoptic_set) == [
        "1 x id in a PNG that the JSON does not list: its pixels count as void (1.png: 999)",
        "1 x segment in the JSON that its PNG does not have (1.png: 302)",
    ]


def test_areas(panoptic_set):
    panoptic_set.content["annotations"][0]["segments_info"][1]["area"] = 5
    line = "1 x segment with another number of pixels than its area (1.png: segment 301 has 160, listed as 5)"
    assert picture_lines(panoptic_set) == [line]


def test_sizes(panoptic_set):
    rewrite(panoptic_set, panoptic_set.ids[0][:, :40])
    panoptic_set.content["images"][1]["width"] = 33
    text = "\n".join(picture_lines(panoptic_set))
    assert "1.png: (40, 40), listed as (40, 48)" in text
    assert "2.png: (36, 32), listed as (36, 33)" in text
    assert "2.jpg: (36, 32), listed as (36, 33)" in text


def test_pictures_that_cannot_be_read(panoptic_set):
    (Path(panoptic_set.images) / "2.jpg").write_text("no picture")
    shutil.copy(Path(panoptic_set.images) / "2.jpg", Path(panoptic_set.panoptic) / "2.png")
    Image.fromarray(np.zeros((40, 48), np.uint8)).save(Path(panoptic_set.panoptic) / "1.png")
    lines = picture_lines(panoptic_set)
    (line,) = [line for line in lines if "1 x image that cannot be read" in line]
    assert "2.jpg cannot be read: it is no image" in line
    (line,) = [line for line in lines if "2 x panoptic PNG that cannot be used" in line]
    assert "1.png cannot be read: it has no 8-bit RGB" in line and "2.png cannot be read" in line
