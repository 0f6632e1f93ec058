"""Writes a set of scenes as a COCO data set, atomically."""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from solo_d2.utils.errors import InputError
from solo_d2.utils.json_file import read_json, write_json
from solo_d2.utils.parallel import map_in_processes

from .config import SPLITS, SceneConfig
from .records import SceneRecords, panoptic_categories, scene_records, thing_categories
from .scene import compose_scene

logger = logging.getLogger(__name__)

MANIFEST = "scenes.json"
# Must change whenever the same parameters give other scenes, so that an older set is not reused.
VERSION = 1
SMALLEST_SIZE = 64
_CHUNK = 25  # scenes sent to a worker process at a time


def generate_scenes(
    root: str | Path,
    num_train: int = 2000,
    num_val: int = 200,
    size: int = 128,
    seed: int = 0,
    workers: int | None = None,
    config: SceneConfig | None = None,
) -> Path:
    """Creates the built-in data under ``root``, or reuses existing data.

    Layout: ``{train,val}/images/*.png``, ``instances_{train,val}.json`` (COCO; ``alpha_file``
    names the annotation's matte), ``panoptic_{train,val}.json`` with
    ``panoptic_{train,val}/*.png``, ``alpha_{train,val}/*.png`` (BGRA: own colors, visible alpha)
    and ``scenes.json`` (the parameters). Pixels and JSON are the same on every machine.

    Args:
        root: Folder to create.
        num_train: Number of training images.
        num_val: Number of validation images.
        size: Side of the square images in pixels, at least 64.
        seed: Seed of the whole set; with more images, the first ones stay the same.
        workers: Number of processes; by default one per core, fewer for few images.
        config: Distributions of the scenes.

    Returns:
        ``root``.

    Raises:
        InputError: If a parameter is out of range, or ``root`` holds other data.
    """
    root, config = Path(root), config or SceneConfig()
    counts = {"train": num_train, "val": num_val}
    if min(counts.values()) < 1 or size < SMALLEST_SIZE or seed < 0:
        raise InputError(
            f"scenes need at least one image per split, a size of at least {SMALLEST_SIZE} and a seed "
            f"of at least 0; got num_train={num_train}, num_val={num_val}, size={size}, seed={seed}"
        )
    manifest = {"version": VERSION, "counts": counts, "size": size, "seed": seed}
    manifest["config"] = json.loads(json.dumps(asdict(config)))
    if _is_finished(root, manifest):
        logger.info("Reusing the scenes in %s", root)
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    partial_root = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
    try:
        partial_root.chmod(0o755)
        for split in SPLITS:
            make = partial(_make_scene, partial_root, config, size, seed, split)
            scenes = map_in_processes(
                make, range(counts[split]), workers, _CHUNK, initializer=partial(cv2.setNumThreads, 0)
            )
            _write_annotations(partial_root, split, scenes)
        write_json(partial_root / MANIFEST, manifest)
        _move(partial_root, root, manifest)
    finally:
        shutil.rmtree(partial_root, ignore_errors=True)
    logger.info("Wrote %d + %d scenes to %s", num_train, num_val, root)
    return root


def _is_finished(root: Path, manifest: dict) -> bool:
    """Returns True if ``root`` holds exactly this set; raises ``InputError`` for any other content."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    advice = "remove that folder or choose another one"
    try:
        found = read_json(root / MANIFEST, "manifest")
    except InputError:
        raise InputError(
            f"{root} exists and is not a finished set of scenes (no readable {MANIFEST}): {advice}"
        ) from None
    if found != manifest:
        differing = ", ".join(
            f"{key} {found.get(key)} there, {value} wanted"
            for key, value in manifest.items()
            if found.get(key) != value
        )
        raise InputError(f"{root} holds other scenes ({differing}): {advice}")
    return True


def _move(source: Path, root: Path, manifest: dict) -> None:
    try:
        os.replace(source, root)
    except OSError:
        # Another process may have finished the same set in the meantime.
        if not _is_finished(root, manifest):
            raise


def _make_scene(
    root: Path, config: SceneConfig, size: int, seed: int, split: str, index: int
) -> SceneRecords:
    """Composes one scene, writes its pictures, and returns its records without them."""
    scene = compose_scene(config, size, seed, split, index)
    records = scene_records(scene, index)
    name = records.image["file_name"]
    _write_png(root / split / "images" / name, scene.image)
    _write_png(root / f"panoptic_{split}" / name, records.panoptic)
    for matte, picture in records.mattes.items():
        _write_png(root / f"alpha_{split}" / matte, picture)
    records.mattes = {}
    records.panoptic = np.zeros(0)
    return records


def _write_png(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), picture):
        raise InputError(f"cannot write {path}: is the disk full or the folder read-only?")


def _write_annotations(root: Path, split: str, scenes: Iterable[SceneRecords]) -> None:
    images, annotations, panoptic = [], [], []
    for records in scenes:
        images.append(records.image)
        annotations.extend(records.annotations)
        panoptic.append(
            {
                "image_id": records.image["id"],
                "file_name": records.image["file_name"],
                "segments_info": records.segments,
            }
        )
    info = {"description": f"solo_d2 built-in scenes, {split}"}
    write_json(
        root / f"instances_{split}.json",
        {
            "info": info,
            "images": images,
            "annotations": annotations,
            "categories": thing_categories(),
        },
    )
    write_json(
        root / f"panoptic_{split}.json",
        {
            "info": info,
            "images": images,
            "annotations": panoptic,
            "categories": panoptic_categories(),
        },
    )
