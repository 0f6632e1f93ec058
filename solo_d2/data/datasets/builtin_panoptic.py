"""Registers standard panoptic names for configs.

``scenes_panoptic_{train,val}``, ``coco_2017_{train,val}_panoptic_segments`` and
``cityscapes_panoptic_{train,val}`` take instances and stuff from the panoptic annotation only, so instances
never overlap.
``coco_2017_{train,val}_panoptic`` and ``..._panoptic_separated`` are Detectron2's.
"""

from collections.abc import Mapping
from pathlib import Path

from detectron2.data import DatasetCatalog
from detectron2.data.datasets import register_coco_panoptic, register_coco_panoptic_separated
from solo_d2.scenes import SPLITS, panoptic_categories

from .cityscapes import CITYSCAPES_IDS, CITYSCAPES_NAMES
from .coco_categories import coco_panoptic_categories
from .panoptic_format import add_panoptic, panoptic_classes

_COCO_ADVICE = (
    "download COCO 2017 and its panoptic annotations to {root}/coco, or set DETECTRON2_DATASETS to the "
    "folder that holds coco/"
)
_CITYSCAPES_ADVICE = (
    "put Cityscapes below {root}/cityscapes and make its panoptic files with cityscapesscripts' "
    "createPanopticImgs.py, or set DETECTRON2_DATASETS to the folder that holds cityscapes/"
)
# (id, name) of the stuff classes that count in the evaluation.
_CITYSCAPES_STUFF = (
    (7, "road"),
    (8, "sidewalk"),
    (11, "building"),
    (12, "wall"),
    (13, "fence"),
    (17, "pole"),
    (19, "traffic light"),
    (20, "traffic sign"),
    (21, "vegetation"),
    (22, "terrain"),
    (23, "sky"),
)


def register_panoptic(root: Path) -> None:
    """Registers the panoptic names that are not registered yet; reads no file.

    Args:
        root: Folder that holds ``scenes/``, ``coco/`` and ``cityscapes/``.
    """
    for split in SPLITS:
        _add_scenes(root / "scenes", split)
        _add_coco(root, split)
        _add_cityscapes(root, split)
        _add_detectron2_coco(root / "coco", split)


def _add_scenes(scenes: Path, split: str) -> None:
    _add(
        f"scenes_panoptic_{split}",
        panoptic_categories(),
        scenes / f"panoptic_{split}.json",
        scenes / f"panoptic_{split}",
        scenes / split / "images",
        f"make the built-in scenes with: solo-d2 data scenes --output {scenes}",
        json_file=str(scenes / f"instances_{split}.json"),
    )


def _add_coco(root: Path, split: str) -> None:
    coco = root / "coco"
    _add(
        f"coco_2017_{split}_panoptic_segments",
        coco_panoptic_categories(),
        coco / "annotations" / f"panoptic_{split}2017.json",
        coco / f"panoptic_{split}2017",
        coco / f"{split}2017",
        _COCO_ADVICE.format(root=root),
        json_file=str(coco / "annotations" / f"instances_{split}2017.json"),
    )


def _add_cityscapes(root: Path, split: str) -> None:
    fine = root / "cityscapes" / "gtFine" / f"cityscapes_panoptic_{split}"
    categories = [
        {"id": number, "name": name, "isthing": isthing}
        for isthing, classes in (
            (1, zip(CITYSCAPES_IDS, CITYSCAPES_NAMES, strict=True)),
            (0, _CITYSCAPES_STUFF),
        )
        for number, name in classes
    ]
    _add(
        f"cityscapes_panoptic_{split}",
        categories,
        fine.with_suffix(".json"),
        fine,
        root / "cityscapes" / "leftImg8bit" / split,
        _CITYSCAPES_ADVICE.format(root=root),
        image_path=cityscapes_image_path,
    )


def cityscapes_image_path(image: Mapping) -> str:
    """Returns an image's path below its split's folder; the JSON's own "file_name" does not exist."""
    city = image["id"].partition("_")[0]
    return f"{city}/{image['id']}_leftImg8bit.png"


def _add(
    name: str,
    categories: list[dict],
    panoptic_json: Path,
    panoptic_root: Path,
    image_root: Path,
    advice,
    **more,
) -> None:
    if name not in DatasetCatalog:
        classes = panoptic_classes(categories)
        add_panoptic(name, classes, panoptic_json, panoptic_root, image_root, advice=advice, **more)


def _add_detectron2_coco(coco: Path, split: str) -> None:
    """Registers Detectron2's names, unless the real Detectron2 has done so."""
    name = f"coco_2017_{split}_panoptic"
    annotations = coco / "annotations"
    paths = {
        "image_root": str(coco / f"{split}2017"),
        "panoptic_root": str(coco / f"panoptic_{split}2017"),
        "panoptic_json": str(annotations / f"panoptic_{split}2017.json"),
        "instances_json": str(annotations / f"instances_{split}2017.json"),
    }
    categories = coco_panoptic_categories()
    if name not in DatasetCatalog:
        register_coco_panoptic(name, _joint_numbering(categories), **paths)
    if f"{name}_separated" not in DatasetCatalog:
        maps = str(coco / f"panoptic_stuff_{split}2017")
        register_coco_panoptic_separated(name, panoptic_classes(categories), sem_seg_root=maps, **paths)


def _joint_numbering(categories: list[dict]) -> dict:
    """Returns metadata of Detectron2's "standard" data sets, which number things and stuff together."""
    names = [category["name"] for category in categories]
    numbering = {category["id"]: index for index, category in enumerate(categories)}
    things = {category["id"] for category in categories if category["isthing"]}
    return {
        "thing_classes": names,
        "stuff_classes": names,
        "thing_dataset_id_to_contiguous_id": {k: v for k, v in numbering.items() if k in things},
        "stuff_dataset_id_to_contiguous_id": {k: v for k, v in numbering.items() if k not in things},
    }
