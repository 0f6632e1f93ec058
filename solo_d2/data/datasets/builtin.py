"""Registers standard names for configs: the built-in scenes, COCO 2017, LVIS, Cityscapes, ImageNet.

``scenes_*``, ``coco_2017_*``, ``lvis_v0.5_*``, ``lvis_v1_*`` and ``cityscapes_instances_*``, each with
``train`` and ``val``; ``imagenet_train`` has images only; ``builtin_panoptic.py`` has the panoptic names.
Registration reads no file; a missing file is reported when the data set is first used.
"""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json
from solo_d2.scenes import SPLITS, THING_CLASSES
from solo_d2.utils.errors import InputError

from .builtin_panoptic import register_panoptic
from .catalogs import forget_dataset
from .cityscapes import CITYSCAPES_IDS, CITYSCAPES_NAMES
from .coco_categories import COCO_IDS, COCO_NAMES
from .lvis import load_lvis
from .unlabelled import unlabelled_records

ROOT_ENV = "DETECTRON2_DATASETS"
DEFAULT_ROOT = "datasets"
_COCO_ADVICE = f"download COCO 2017 to that place or set {ROOT_ENV} to the folder that holds coco/"
_LVIS_ADVICE = (
    f"download LVIS and COCO 2017's images there or set {ROOT_ENV} to the folder that holds lvis/ and coco/"
)
_LVIS_VERSIONS = ("v0.5", "v1")


def register_all(root: str | Path | None = None) -> None:
    """Registers the built-in names that are not registered yet.

    Args:
        root: Folder with ``scenes/``, ``coco/``, ``lvis/``, ``cityscapes/`` and ``imagenet/``; by default
            ``$DETECTRON2_DATASETS`` or else ``datasets``.
    """
    root = Path(root if root is not None else os.environ.get(ROOT_ENV, DEFAULT_ROOT)).expanduser()
    register_panoptic(root)
    scenes, cityscapes = root / "scenes", root / "cityscapes"
    for split in SPLITS:
        _register(
            f"scenes_{split}",
            scenes / f"instances_{split}.json",
            scenes / split / "images",
            f"make the built-in scenes with: solo-d2 data scenes --output {scenes}",
            _classes(THING_CLASSES, range(1, len(THING_CLASSES) + 1)),
        )
        _register(
            f"coco_2017_{split}",
            root / "coco" / "annotations" / f"instances_{split}2017.json",
            root / "coco" / f"{split}2017",
            _COCO_ADVICE,
            _classes(COCO_NAMES, COCO_IDS),
        )
        _register(
            f"cityscapes_instances_{split}",
            cityscapes / "annotations" / f"instances_{split}.json",
            cityscapes / "leftImg8bit" / split,
            f"put gtFine/ and leftImg8bit/ into {cityscapes}, then: "
            f"solo-d2 data cityscapes --root {cityscapes}",
            _classes(CITYSCAPES_NAMES, CITYSCAPES_IDS),
        )
        for version in _LVIS_VERSIONS:
            _register_lvis(f"lvis_{version}_{split}", root)
    _register_images("imagenet_train", root / "imagenet" / "train")


def _register_images(name: str, folder: Path) -> None:
    """Registers a folder of images without labels unless its name is taken."""
    if name not in DatasetCatalog:
        DatasetCatalog.register(name, partial(unlabelled_records, folder))
        MetadataCatalog.get(name).set(image_root=str(folder))


def _register_lvis(name: str, root: Path) -> None:
    """Registers an LVIS split in place of Detectron2's own entry, which needs the package lvis."""
    if name in DatasetCatalog and DatasetCatalog[name].__module__.startswith("detectron2."):
        forget_dataset(name)
    _register(name, root / "lvis" / f"{name}.json", root / "coco", _LVIS_ADVICE, {}, "lvis")


def _classes(names: Sequence[str], ids: Sequence[int]) -> dict:
    """Returns the metadata of classes that are known without reading a file."""
    return {
        "thing_classes": list(names),
        "thing_dataset_id_to_contiguous_id": {number: index for index, number in enumerate(ids)},
    }


def _register(
    name: str, json_file: Path, image_root: Path, advice: str, classes: dict, kind: str = "coco"
) -> None:
    """Registers a data set of ``evaluator_type`` ``kind`` unless its name is taken."""
    if name in DatasetCatalog:
        return
    DatasetCatalog.register(name, partial(_load, name, json_file, image_root, advice, kind))
    MetadataCatalog.get(name).set(
        json_file=str(json_file), image_root=str(image_root), evaluator_type=kind, **classes
    )


def _load(name: str, json_file: Path, image_root: Path, advice: str, kind: str) -> list[dict]:
    for path in (json_file, image_root):
        if not path.exists():
            raise InputError(f"dataset {name}: {path} does not exist; {advice}")
    load = load_lvis if kind == "lvis" else load_coco_json
    return load(str(json_file), str(image_root), name)
