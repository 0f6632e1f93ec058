"""Images without labels as a Detectron2 data set: a folder, a list of files, or a COCO JSON's images."""

import json
import os
from functools import partial
from pathlib import Path

from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from solo_d2.structures.errors import InputError

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"))
_SOURCES = "an image folder, a .txt file with a path per line, or a COCO .json"


def register_unlabelled(
    name: str, source: str | os.PathLike, image_root: str | os.PathLike | None = None
) -> Metadata:
    """Registers images; a data set of the same name is replaced.

    Args:
        name: of the data set.
        source: a folder (searched with everything below it), a ``.txt`` file with a path per line, or a
            COCO-format ``.json``, whose annotations are not looked at.
        image_root: folder that the paths in a list or JSON are relative to; default: the file's own folder.

    Returns:
        The metadata: ``image_root``; there is nothing to evaluate with.

    Raises:
        InputError: if the source is not there or names no image.
    """
    records = find_images(source, image_root)
    for catalog in (DatasetCatalog, MetadataCatalog):
        if name in catalog:
            catalog.remove(name)
    DatasetCatalog.register(name, partial(list, records))
    root = source if os.path.isdir(source) else image_root or os.path.dirname(os.path.abspath(source))
    return MetadataCatalog.get(name).set(image_root=str(root))


def find_images(source: str | os.PathLike, image_root: str | os.PathLike | None = None) -> list[dict]:
    """Lists images as records: "file_name", "image_id" and, from a COCO JSON, "height" and "width".

    Arguments and errors are those of :func:`register_unlabelled`. Ids count from 1 in the order of the names
    (folder) or lines (list); a JSON has its own.
    """
    source = Path(source)
    if not source.exists():
        raise InputError(f"unlabelled images: {source} does not exist; give {_SOURCES}")
    root = Path(image_root) if image_root else source.parent
    if source.is_dir():
        records = _number(_in_folder(source))
    elif source.suffix == ".json":
        records = _in_json(source, root)
    elif source.suffix == ".txt":
        lines = (line.strip() for line in source.read_text(encoding="utf-8").splitlines())
        records = _number([str(root / line) for line in lines if line])
    else:
        raise InputError(f"unlabelled images: {source} is none of {_SOURCES}")
    if not records:
        raise InputError(f"unlabelled images: there is none in {source}")
    if not os.path.isfile(records[0]["file_name"]):
        raise InputError(
            f"unlabelled images: {source} names {records[0]['file_name']}, which does not exist; "
            "--train-images (DATASETS.CUSTOM.TRAIN_IMAGES) is the folder its paths are relative to"
        )
    return records


def _in_folder(folder: Path) -> list[str]:
    """All images below a folder, in the order of their paths; links to folders are followed."""
    found = []
    for where, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        found += [
            os.path.join(where, name) for name in names if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES
        ]
    return sorted(found)


def _in_json(path: Path, root: Path) -> list[dict]:
    try:
        images = json.loads(path.read_text(encoding="utf-8"))["images"]
        return [
            {"file_name": str(root / image["file_name"]), "image_id": image["id"]}
            | {key: image[key] for key in ("height", "width") if key in image}
            for image in images
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no COCO file with a list of images ({error})") from None


def _number(paths: list[str]) -> list[dict]:
    return [{"file_name": path, "image_id": index} for index, path in enumerate(paths, start=1)]
