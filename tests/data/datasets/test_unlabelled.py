import json

import pytest
from PIL import Image

from detectron2.data import DatasetCatalog, MetadataCatalog
from solo_d2.data.datasets import register_unlabelled
from solo_d2.data.datasets.unlabelled import unlabelled_records
from solo_d2.utils.errors import InputError


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "images"
    for name in ("b.PNG", "a.jpg", "sub/deep/c.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 4)).save(root / name)
    (root / "notes.txt").write_text("no image")
    return root


def names(records, root):
    return [record["file_name"].removeprefix(f"{root}/") for record in records]


def test_folder_with_folders(folder):
    records = unlabelled_records(folder)
    assert names(records, folder) == ["a.jpg", "b.PNG", "sub/deep/c.png"]
    assert [record["image_id"] for record in records] == [1, 2, 3]


def test_list(folder, tmp_path):
    listing = tmp_path / "list.txt"
    listing.write_text(f"images/b.PNG\n\n{folder}/a.jpg\n")
    assert names(unlabelled_records(listing), folder)[1] == "a.jpg"
    assert unlabelled_records(listing)[0]["file_name"] == str(tmp_path / "images" / "b.PNG")
    listing.write_text("a.jpg\n")
    assert names(unlabelled_records(listing, folder), folder) == ["a.jpg"]


def test_coco_json_without_annotations(folder, tmp_path):
    path = tmp_path / "images.json"
    images = [
        {"id": 7, "file_name": "sub/deep/c.png", "height": 4, "width": 6},
        {"id": 9, "file_name": "a.jpg"},
    ]
    path.write_text(json.dumps({"images": images}))
    first, second = unlabelled_records(path, folder)
    assert first == {"file_name": str(folder / "sub/deep/c.png"), "image_id": 7}
    assert second == {"file_name": str(folder / "a.jpg"), "image_id": 9}


def test_registered_name_is_replaced(folder):
    for _ in range(2):
        metadata = register_unlabelled("some_images", folder)
    try:
        assert len(DatasetCatalog.get("some_images")) == 3
        assert metadata.image_root == str(folder) and metadata.get("evaluator_type") is None
    finally:
        DatasetCatalog.remove("some_images")
        MetadataCatalog.remove("some_images")


def test_mistakes(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "gone.txt").write_text("gone.jpg\n")
    for source, message in (
        ("nowhere", "does not exist"),
        ("empty", "has no images"),
        ("gone.txt", "gone.jpg, which does not exist: image_root"),
    ):
        with pytest.raises(InputError, match=message):
            register_unlabelled("some_images", tmp_path / source)
    assert "some_images" not in DatasetCatalog
