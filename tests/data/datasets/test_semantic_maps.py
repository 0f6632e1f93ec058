import numpy as np
import pytest
from PIL import Image

from solo_d2.data.datasets.semantic_maps import semantic_labels, semantic_map, write_semantic_maps
from solo_d2.utils.errors import InputError


def test_labels_of_categories(panoptic_set):
    assert semantic_labels(panoptic_set.content["categories"]) == {3: 0, 5: 0, 9: 1, 11: 2}


def test_map():
    ids = np.array([[0, 7, 300], [9, 7, 8]])
    assert semantic_map(ids, {7: 0, 300: 4}).tolist() == [[255, 0, 4], [255, 0, 255]]
    assert semantic_map(ids, {}).min() == 255


@pytest.mark.parametrize("workers", [1, 2])
def test_files(panoptic_set, tmp_path, workers):
    assert write_semantic_maps(panoptic_set.json, panoptic_set.panoptic, tmp_path / "maps", workers) == 2
    first, second = (np.asarray(Image.open(tmp_path / "maps" / f"{n}.png")) for n in (1, 2))
    ids = panoptic_set.ids[0]
    expected = np.select([ids == 70000, ids == 0], [1, 255], 0)
    assert first.dtype == np.uint8 and np.array_equal(first, expected) and (second == 2).all()


def test_mistakes_are_named(panoptic_set, tmp_path):
    with pytest.raises(InputError, match="name another folder"):
        write_semantic_maps(panoptic_set.json, panoptic_set.panoptic, panoptic_set.panoptic)
    panoptic_set.content["annotations"][0]["segments_info"][0]["category_id"] = 77
    panoptic_set.write(panoptic_set.content)
    with pytest.raises(InputError, match="segment of a category that the JSON does not list: 1.png: 70000"):
        write_semantic_maps(panoptic_set.json, panoptic_set.panoptic, tmp_path / "maps")
    stuff = [{"id": n, "name": str(n), "isthing": 0} for n in range(1, 300)]
    panoptic_set.write({**panoptic_set.content, "categories": stuff})
    with pytest.raises(InputError, match="more than 254 stuff classes"):
        write_semantic_maps(panoptic_set.json, panoptic_set.panoptic, tmp_path / "maps")


@pytest.mark.parametrize("absolute", [True, False])
def test_no_file_outside_the_folder_is_written(panoptic_set, tmp_path, absolute):
    png = f"{panoptic_set.panoptic}/2.png"
    with open(png, "rb") as file:
        before = file.read()
    panoptic_set.content["annotations"][1]["file_name"] = png if absolute else "../png/2.png"
    panoptic_set.write(panoptic_set.content)
    with pytest.raises(InputError, match=r"2\.png leaves its folder"):
        write_semantic_maps(panoptic_set.json, panoptic_set.panoptic, tmp_path / "maps")
    with open(png, "rb") as file:
        assert file.read() == before
    assert not (tmp_path / "maps").exists()


def test_maps_of_equal_names_are_refused(panoptic_set, tmp_path):
    panoptic_set.content["annotations"][1]["file_name"] = "1.PNG"
    panoptic_set.write(panoptic_set.content)
    with pytest.raises(InputError, match=r"files 1\.png and 1\.PNG would overwrite each other"):
        write_semantic_maps(panoptic_set.json, panoptic_set.panoptic, tmp_path / "maps")
    assert not (tmp_path / "maps").exists()
