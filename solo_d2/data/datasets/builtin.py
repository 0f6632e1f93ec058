"""Names that configs may use without further ado: ``scenes_{train,val}`` and ``coco_2017_{train,val}``.

Registration reads no file; a missing one is reported when the data set is first used.
"""

import os
from functools import partial
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json
from solo_d2.data.scenes import SPLITS, THING_CLASSES
from solo_d2.structures.errors import InputError

from .coco_categories import COCO_IDS, COCO_NAMES

ROOT_ENV = "DETECTRON2_DATASETS"
DEFAULT_ROOT = "datasets"
_COCO_ADVICE = f"download COCO 2017 to that place or set {ROOT_ENV} to the folder that holds coco/"


def register_all(root: str | Path | None = None) -> None:
    """Registers the built-in names that are not registered yet.

    Args:
        root: folder that holds ``scenes/`` and ``coco/``; default ``$DETECTRON2_DATASETS``, else
            ``datasets``.
    """
    root = Path(root if root is not None else os.environ.get(ROOT_ENV, DEFAULT_ROOT)).expanduser()
    scenes = root / "scenes"
    for split in SPLITS:
        _register(
            f"scenes_{split}",
            scenes / f"instances_{split}.json",
            scenes / split / "images",
            THING_CLASSES,
            range(1, len(THING_CLASSES) + 1),
            f"make the built-in scenes with: python tools/make_scenes.py --output {scenes}",
        )
        _register(
            f"coco_2017_{split}",
            root / "coco" / "annotations" / f"instances_{split}2017.json",
            root / "coco" / f"{split}2017",
            COCO_NAMES,
            COCO_IDS,
            _COCO_ADVICE,
        )


def _register(name: str, json_file: Path, image_root: Path, classes, ids, advice: str) -> None:
    if name in DatasetCatalog:
        return
    DatasetCatalog.register(name, partial(_load, name, json_file, image_root, advice))
    MetadataCatalog.get(name).set(
        json_file=str(json_file),
        image_root=str(image_root),
        evaluator_type="coco",
        thing_classes=list(classes),
        thing_dataset_id_to_contiguous_id={number: index for index, number in enumerate(ids)},
    )


def _load(name: str, json_file: Path, image_root: Path, advice: str) -> list[dict]:
    for path in (json_file, image_root):
        if not path.exists():
            raise InputError(f"dataset {name}: {path} does not exist; {advice}")
    return load_coco_json(str(json_file), str(image_root), name)
