import pytest
from PIL import Image

from detectron2.data import DatasetCatalog, MetadataCatalog
from solo_d2.data.datasets import register_class_folders
from solo_d2.utils.errors import InputError


def test_classes_are_folders(tmp_path):
    for name in ("dog/b.png", "cat/a.png", "dog/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (6, 4)).save(tmp_path / name)
    metadata = register_class_folders("animals", tmp_path)
    try:
        records = DatasetCatalog.get("animals")
        assert metadata.image_classes == ["cat", "dog"] and metadata.evaluator_type == "class_folders"
        assert [record["class_id"] for record in records] == [0, 1, 1]
        assert [record["image_id"] for record in records] == [1, 2, 3]
        assert records[1]["file_name"] == str(tmp_path / "dog" / "a.png")
    finally:
        DatasetCatalog.remove("animals")
        MetadataCatalog.remove("animals")


def test_mistakes(tmp_path):
    with pytest.raises(InputError, match="holds no classes"):
        register_class_folders("animals", tmp_path / "nowhere")
    (tmp_path / "cat").mkdir()
    with pytest.raises(InputError, match="at least two"):
        register_class_folders("animals", tmp_path)
    (tmp_path / "dog").mkdir()
    with pytest.raises(InputError, match="has no images"):
        register_class_folders("animals", tmp_path)
