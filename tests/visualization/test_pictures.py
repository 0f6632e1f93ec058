from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from solo_d2.utils.errors import InputError
from solo_d2.visualization.pictures import enlargement, from_tensor, save_picture, shrink, writable_name

GRAY = np.full((32, 64, 3), 120, np.uint8)


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)


@pytest.mark.parametrize(("name", "kind"), [("a.jpg", "JPEG"), ("a.PNG", "PNG"), ("a.webp", "WEBP")])
def test_the_suffix_decides_the_format(tmp_path, noise, name, kind):
    save_picture(noise, tmp_path / "new" / name)
    with Image.open(tmp_path / "new" / name) as saved:
        assert (saved.format, saved.size) == (kind, (64, 32))
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name], "nothing unfinished remains"


def test_quality(tmp_path, noise):
    for quality in (50, 95):
        save_picture(noise, tmp_path / f"{quality}.jpg", quality)
    sizes = [(tmp_path / f"{quality}.jpg").stat().st_size for quality in (50, 95)]
    assert sizes[0] < sizes[1]
    save_picture(noise, tmp_path / "a.png", 50)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), noise), "PNG is exact"


@pytest.mark.parametrize("name", ["frame", "a.txt", "a.psd", ".png"])
def test_formats_that_cannot_be_written(tmp_path, name):
    with pytest.raises(InputError, match=r"cannot be written in this format; use \.jpg or \.png"):
        save_picture(GRAY, tmp_path / name)
    assert writable_name(tmp_path / name) == tmp_path / f"{name}.png"
    assert not list(tmp_path.iterdir())


def test_writable_names_stay():
    for name in (Path("a.jpg"), Path("sub", "b.TIFF")):
        assert writable_name(name) == name


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="could not be written"):
        save_picture(GRAY, tmp_path / "file" / "a.png")


@pytest.mark.parametrize(
    ("size", "factor"),
    [((100, 150), 4), ((320, 10), 12), ((400, 400), 1), ((1, 5000), 1), ((1, 1), 320), ((10, 2000), 2)],
)
def test_enlargement_is_bounded_by_the_longer_side(size, factor):
    assert enlargement(*size, 320) == enlargement(*size[::-1], 320) == factor


def test_large_pictures_are_shrunk():
    assert shrink(GRAY, 32).shape == (16, 32, 3)
    assert np.array_equal(shrink(GRAY, 64), GRAY)


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_pictures_of_a_models_input(order):
    image = torch.tensor([10.0, 20.0, 30.0]).view(3, 1, 1).expand(3, 4, 5)
    picture = from_tensor(image, order)
    assert picture.shape == (4, 5, 3) and picture.dtype == np.uint8 and picture.flags.c_contiguous
    assert picture[0, 0].tolist() == ([10, 20, 30] if order == "RGB" else [30, 20, 10])
