import pytest

from detectron2.data import DatasetCatalog, MetadataCatalog
from solo_d2.data.datasets.builtin import register_all
from solo_d2.data.datasets.coco_categories import COCO_NAMES
from solo_d2.data.scenes import THING_CLASSES, generate_scenes
from solo_d2.structures.errors import InputError

NAMES = ("scenes_train", "scenes_val")


@pytest.fixture
def fresh():
    """Registers the scenes under another root, and the usual ones again afterwards."""

    def forget():
        for name in NAMES:
            for catalog in (DatasetCatalog, MetadataCatalog):
                if name in catalog.list():
                    catalog.remove(name)

    forget()
    yield register_all
    forget()
    register_all()


def test_registered_scenes_load(fresh, tmp_path):
    generate_scenes(tmp_path / "scenes", 6, 3, size=64, workers=1)
    fresh(tmp_path)
    for name, count in zip(NAMES, (6, 3), strict=True):
        records = DatasetCatalog.get(name)
        metadata = MetadataCatalog.get(name)
        assert len(records) == count and metadata.thing_classes == list(THING_CLASSES)
        assert metadata.evaluator_type == "coco"
        assert metadata.json_file == str(tmp_path / "scenes" / f"instances_{name[7:]}.json")
        assert any(record["annotations"] for record in records)


def test_environment_names_the_root(fresh, tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "elsewhere"))
    fresh()
    assert MetadataCatalog.get("scenes_val").image_root == str(
        tmp_path / "elsewhere" / "scenes" / "val" / "images"
    )


def test_missing_files_are_one_line_with_the_command(fresh, tmp_path):
    fresh(tmp_path / "nowhere")
    with pytest.raises(InputError, match="python tools/make_scenes.py --output") as info:
        DatasetCatalog.get("scenes_train")
    assert "\n" not in str(info.value)


def test_coco_names_are_known_and_registering_twice_is_fine():
    register_all()
    register_all()
    for name in ("coco_2017_train", "coco_2017_val"):
        assert name in DatasetCatalog
        metadata = MetadataCatalog.get(name)
        assert list(metadata.thing_classes) == list(COCO_NAMES)
        assert metadata.thing_dataset_id_to_contiguous_id[90] == 79
