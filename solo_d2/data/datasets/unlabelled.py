"""Registers images without labels: a folder, a list of files, or a COCO JSON's images."""

import os
from functools import partial

from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from solo_d2.data.image_paths import ImagePaths, list_images
from solo_d2.utils.errors import InputError

from .catalogs import forget_dataset


def register_unlabelled(
    name: str, source: str | os.PathLike, image_root: str | os.PathLike | None = None
) -> Metadata:
    """Registers images; a data set of the same name is replaced.

    Args:
        name: Name of the data set.
        source: A folder, a list or a COCO JSON; see :func:`list_images`.
        image_root: Folder that the paths in a list or JSON are relative to; by default the file's own.

    Returns:
        The metadata: ``image_root``; there is nothing to evaluate with.

    Raises:
        InputError: If the source does not exist or names no image.
    """
    images = list_images(source, image_root or "")
    records = _records_of(images, source)
    forget_dataset(name)
    DatasetCatalog.register(name, partial(list, records))
    return MetadataCatalog.get(name).set(image_root=str(images.root))


def unlabelled_records(source: str | os.PathLike, image_root: str | os.PathLike | None = None) -> list[dict]:
    """Lists images as records with "file_name" and "image_id"; arguments and errors as above."""
    return _records_of(list_images(source, image_root or ""), source)


def _records_of(images: ImagePaths, source: str | os.PathLike) -> list[dict]:
    records: list[dict] = [
        {"file_name": str(images.root / name), "image_id": image_id}
        for name, image_id in zip(images.names, images.ids, strict=True)
    ]
    if not os.path.isfile(records[0]["file_name"]):
        raise InputError(
            f"{source} names {records[0]['file_name']}, which does not exist: image_root is the "
            "folder its paths are relative to"
        )
    return records
