"""Datasets, mappers, samplers and the evaluation loader."""

from . import transforms  # isort: skip  (the mapper needs it)

from .build import (
    build_detection_test_loader,
    get_detection_dataset_dicts,
    print_instances_class_histogram,
)
from .catalog import DatasetCatalog, Metadata, MetadataCatalog
from .common import DatasetFromList
from .dataset_mapper import DatasetMapper

from . import datasets, samplers  # isort: skip  (registers COCO in the catalogs above)

__all__ = [
    "DatasetCatalog",
    "DatasetFromList",
    "DatasetMapper",
    "Metadata",
    "MetadataCatalog",
    "build_detection_test_loader",
    "datasets",
    "get_detection_dataset_dicts",
    "print_instances_class_histogram",
    "samplers",
    "transforms",
]
