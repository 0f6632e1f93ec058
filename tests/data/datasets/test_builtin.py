import os

import pytest
import torch
from pycocotools import mask as coco_mask

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, Instances
from solo_d2.data.datasets import register_all
from solo_d2.data.datasets.cityscapes import CITYSCAPES_NAMES, convert_cityscapes
from solo_d2.data.datasets.coco_categories import COCO_NAMES
from solo_d2.evaluation.build import build_evaluator
from solo_d2.scenes import THING_CLASSES, generate_scenes
from solo_d2.structures import boxes_from_masks
from solo_d2.utils.errors import InputError

from .test_cityscapes import write_cityscapes
from .test_lvis import write_lvis

NAMES = (
    "scenes_train",
    "scenes_val",
    "cityscapes_instances_train",
    "cityscapes_instances_val",
    "lvis_v0.5_train",
    "lvis_v0.5_val",
    "lvis_v1_train",
    "lvis_v1_val",
)


@pytest.fixture
def fresh():
    """Registers data sets under another root, and the usual ones again afterwards."""

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
    for name, count in zip(NAMES[:2], (6, 3), strict=True):
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
    with pytest.raises(InputError, match="solo-d2 data scenes --output") as info:
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


@pytest.mark.parametrize("version", ["v0.5", "v1"])
def test_registered_lvis_loads(fresh, tmp_path, version):
    fresh(tmp_path)
    for split, count in (("train", 4), ("val", 2)):
        name = f"lvis_{version}_{split}"
        write_lvis(tmp_path, name, count)
        assert MetadataCatalog.get(name).evaluator_type == "lvis"
        records = DatasetCatalog.get(name)
        assert len(records) == count and all(os.path.isfile(record["file_name"]) for record in records)
        assert MetadataCatalog.get(name).json_file == str(tmp_path / "lvis" / f"{name}.json")
        assert MetadataCatalog.get(name).thing_classes == ["acorn", "bagel", "zebra"]


def test_registered_cityscapes_loads_after_its_conversion(fresh, tmp_path):
    fresh(tmp_path)
    with pytest.raises(InputError, match="solo-d2 data cityscapes --root"):
        DatasetCatalog.get("cityscapes_instances_val")
    for split in ("train", "val"):
        convert_cityscapes(write_cityscapes(tmp_path / "cityscapes", split), split, workers=1)
        records = DatasetCatalog.get(f"cityscapes_instances_{split}")
        assert len(records) == 2 and all(os.path.isfile(record["file_name"]) for record in records)
        assert MetadataCatalog.get(f"cityscapes_instances_{split}").thing_classes == list(CITYSCAPES_NAMES)


def masks_of(record: dict) -> torch.Tensor:
    """(n, h, w) bool of a record's polygons or RLEs."""
    size = (record["height"], record["width"])
    found = []
    for annotation in record["annotations"]:
        shape = annotation["segmentation"]
        rle = coco_mask.merge(coco_mask.frPyObjects(shape, *size)) if isinstance(shape, list) else shape
        found.append(torch.from_numpy(coco_mask.decode(rle)).bool())
    return torch.stack(found)


@pytest.mark.parametrize("name", ["cityscapes_instances_val", "lvis_v0.5_val", "lvis_v1_val"])
def test_the_truth_itself_has_full_ap(fresh, tmp_path, name):
    fresh(tmp_path)
    if "lvis" in name:
        write_lvis(tmp_path, name)
    else:
        convert_cityscapes(write_cityscapes(tmp_path / "cityscapes"), "val", workers=1)
    records = DatasetCatalog.get(name)
    try:
        evaluator = build_evaluator(name, str(tmp_path / "out"))
    except InputError as error:
        pytest.skip(f"the installed Detectron2 cannot evaluate LVIS: {error}")
    evaluator.reset()
    for record in records:
        record["annotations"] = [a for a in record["annotations"] if not a.get("iscrowd", 0)]
        masks = masks_of(record)
        found = Instances((record["height"], record["width"]))
        found.pred_masks, found.pred_boxes = masks, Boxes(boxes_from_masks(masks))
        found.scores = torch.full((len(masks),), 0.9)
        found.pred_classes = torch.tensor([a["category_id"] for a in record["annotations"]])
        evaluator.process([record], [{"instances": found}])
    results = evaluator.evaluate()
    assert results["segm"]["AP"] == pytest.approx(100) and results["bbox"]["AP"] == pytest.approx(100)
    if "lvis" in name:
        assert results["segm"]["APr"] == results["segm"]["APf"] == pytest.approx(100)


def test_a_users_own_registration_is_kept(fresh):
    DatasetCatalog.register("lvis_v1_val", lambda: ["mine"])
    fresh()
    assert DatasetCatalog.get("lvis_v1_val") == ["mine"]
