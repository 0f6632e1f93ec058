"""Detectron2's catalogs of data sets."""

from detectron2.data import DatasetCatalog, MetadataCatalog

DEFAULT_CACHE = "output/datasets"  # folder of cleaned copies of annotation files


def forget_dataset(name: str) -> None:
    """Removes a data set and its metadata if they are registered, so that the name can be used again."""
    for catalog in (DatasetCatalog, MetadataCatalog):
        if name in catalog:
            catalog.remove(name)
