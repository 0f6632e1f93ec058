"""Finds training and validation sets in a folder of photographs with COCO files, and splits one without."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from solo_d2.utils.errors import InputError
from solo_d2.utils.json_file import read_json, write_json

from .split import split_by_images

_TRAIN = re.compile(r"(^|[^a-z])(train|training)([^a-z]|$)")
_VALIDATION = re.compile(r"(^|[^a-z])(val|valid|validation)([^a-z]|$)")
_TEST = re.compile(r"(^|[^a-z])test([^a-z]|$)")
_HELD_OUT = 0.2  # share of the images that validate if the folder has one annotation file
_DEEPEST = 3  # folders between the given one and an annotation file
_PROBES = 20  # images that are looked for in every folder
_SHOWN = 5


@dataclass(frozen=True)
class PhotoSet:
    """One annotation file and the folder that its file names are relative to."""

    json_file: Path
    images: Path


def find_photo_sets(folder: str | os.PathLike, split_folder: str | os.PathLike) -> tuple[PhotoSet, PhotoSet]:
    """Finds the sets to train and to validate with.

    Names say which is which: ``train.json``, ``valid/_annotations.coco.json``, ``instances_val2017.json``. A
    single annotation file is split: a fifth of its images validates, always the same ones.

    Args:
        folder: Has the annotation files and images, or its subfolders do.
        split_folder: Gets the parts of a single annotation file.

    Returns:
        The training and the validation set.

    Raises:
        InputError: There is no annotation file, it is not clear which is which, or there are no images.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: name one with photographs and COCO annotations")
    found = list(_annotation_files(folder))
    if not found:
        raise InputError(f"{folder} has no COCO annotation file (.json with images, annotations, categories)")
    if len(found) == 1:
        return _split(folder, found[0], Path(split_folder))
    training = [path for path in found if _says(_TRAIN, path, folder)]
    others = [path for path in found if path not in training]
    validation = [path for path in others if _says(_VALIDATION, path, folder)]
    validation = validation or [path for path in others if _says(_TEST, path, folder)]
    for kind, chosen in (("train", training), ("val", validation)):
        if len(chosen) != 1:
            names = ", ".join(str(path.relative_to(folder)) for path in (chosen or found)[:_SHOWN])
            raise InputError(
                f"{folder}: {len(chosen)} annotation files have {kind!r} in their names, not one "
                f"({names}): rename them, or use solo-d2 train with --train-json and --val-json"
            )
    return _with_images(folder, training[0]), _with_images(folder, validation[0])


def _annotation_files(folder: Path) -> Iterator[Path]:
    """Yields the instance annotations in COCO format, in the order of their names."""
    for path in sorted(folder.rglob("*.json")):
        if len(path.relative_to(folder).parts) <= _DEEPEST and _is_coco(path):
            yield path


def _is_coco(path: Path) -> bool:
    try:
        content = read_json(path, "annotation file")
    except InputError:
        return False
    keys = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in keys):
        return False
    return any(isinstance(one, dict) and one.get("segmentation") for one in content["annotations"])


def _says(words: re.Pattern, path: Path, folder: Path) -> bool:
    """Returns whether the name of a file, or of a folder on the way to it, has one of the words."""
    return bool(words.search(path.relative_to(folder).as_posix().lower()))


def _split(folder: Path, path: Path, target: Path) -> tuple[PhotoSet, PhotoSet]:
    content, images = read_json(path, "annotation file"), _with_images(folder, path).images
    if len(content["images"]) < 2:
        raise InputError(f"{path} has one image: training and validation need one each")
    try:
        validation = split_by_images(content, _HELD_OUT, seed=0)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    held_out = {image["id"] for image in validation["images"]}
    training = {
        **content,
        "images": [image for image in content["images"] if image["id"] not in held_out],
        "annotations": [one for one in content["annotations"] if one["image_id"] not in held_out],
    }
    files = target / "train.json", target / "val.json"
    for file, part in zip(files, (training, validation), strict=True):
        write_json(file, part)
    return PhotoSet(files[0], images), PhotoSet(files[1], images)


def _with_images(folder: Path, path: Path) -> PhotoSet:
    """Finds the folder that an annotation file's images are in, near the file first."""
    records = read_json(path, "annotation file")["images"][:_PROBES]
    names = [str(one["file_name"]) for one in records if isinstance(one, dict) and one.get("file_name")]
    near = [path.parent, path.parent / "images", path.parent / path.stem, folder, folder / "images"]
    elsewhere = sorted(candidate for candidate in folder.rglob("*") if candidate.is_dir())
    best = max([*near, *elsewhere], key=lambda place: sum(os.path.isfile(place / name) for name in names))
    if not any(os.path.isfile(best / name) for name in names):
        raise InputError(f"{path}: no folder below {folder} has its images, such as {(names or ['none'])[0]}")
    return PhotoSet(path, best)
