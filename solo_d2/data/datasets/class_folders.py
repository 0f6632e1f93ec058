"""Image folders with one subfolder per class, to monitor pre-training."""

import os
from functools import partial
from pathlib import Path

from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog
from solo_d2.utils.errors import InputError

from .catalogs import forget_dataset
from .unlabelled import unlabelled_records


def register_class_folders(name: str, root: str | os.PathLike) -> Metadata:
    """Registers a folder of classes; a data set of the same name is replaced.

    Records have "file_name", "image_id" and "class_id", an index into ``image_classes``.

    Args:
        name: Name of the data set.
        root: Folder with one subfolder of images per class.

    Returns:
        The metadata: ``image_classes`` (names of the subfolders), ``image_root``, ``evaluator_type``
        "class_folders".

    Raises:
        InputError: If there are fewer than two classes, or a class has no image.
    """
    root = Path(root)
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    if len(folders) < 2:
        raise InputError(f"{root} holds no classes: it needs one subfolder of images for each, at least two")
    records = [
        {**record, "class_id": index}
        for index, folder in enumerate(folders)
        for record in unlabelled_records(folder)
    ]
    for number, record in enumerate(records, start=1):
        record["image_id"] = number
    forget_dataset(name)
    DatasetCatalog.register(name, partial(list, records))
    return MetadataCatalog.get(name).set(
        image_classes=[folder.name for folder in folders],
        image_root=str(root),
        evaluator_type="class_folders",
    )
