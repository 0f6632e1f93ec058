"""From dataset names (or a config) to records and to the evaluation loader."""

import itertools
import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch.utils.data as torchdata
from tabulate import tabulate
from termcolor import colored

from detectron2.config import CfgNode, configurable
from detectron2.utils.logger import log_first_n

from .catalog import DatasetCatalog, MetadataCatalog
from .common import DatasetFromList
from .dataset_mapper import DatasetMapper
from .detection_utils import check_metadata_consistency
from .samplers import InferenceSampler

_HISTOGRAM_COLUMNS = 3


def filter_images_with_only_crowd_annotations(dataset_dicts: list[dict]) -> list[dict]:
    """Returns the records that have at least one annotation that is not a crowd."""
    kept = [d for d in dataset_dicts if any(ann.get("iscrowd", 0) == 0 for ann in d["annotations"])]
    logging.getLogger(__name__).info(
        f"Removed {len(dataset_dicts) - len(kept)} images with no usable annotations. "
        f"{len(kept)} images left."
    )
    return kept


def print_instances_class_histogram(dataset_dicts: list[dict], class_names: Sequence[str]) -> None:
    """Logs a table of the number of instances per class, once per table; crowds do not count.

    Raises:
        AssertionError: A category_id is not an index into class_names.
    """
    categories = np.asarray(
        [ann["category_id"] for d in dataset_dicts for ann in d["annotations"] if not ann.get("iscrowd", 0)],
        dtype=np.int64,
    )
    num_classes = len(class_names)
    if len(categories):
        low, high = categories.min(), categories.max()
        assert low >= 0, f"Got an invalid category_id of {low}"
        assert high < num_classes, f"Got an invalid category_id={high} for {num_classes} classes"
    counts = np.bincount(categories, minlength=num_classes)

    rows: list[tuple] = [*zip(class_names, counts.tolist(), strict=True), ("total", int(counts.sum()))]
    columns = min(_HISTOGRAM_COLUMNS, len(rows))
    cells = itertools.zip_longest(*(rows[i::columns] for i in range(columns)), fillvalue=("", None))
    table = tabulate(
        [list(itertools.chain.from_iterable(row)) for row in cells],
        headers=["category", "#instances"] * columns,
        tablefmt="pipe",
        stralign="center",
    )
    log_first_n(
        logging.INFO,
        f"Distribution of instances among all {num_classes} categories:\n" + colored(table, "cyan"),
        key="message",
    )


def get_detection_dataset_dicts(names: str | Sequence[str], filter_empty: bool = True) -> list[dict]:
    """Loads registered datasets, concatenates them and logs the number of instances per class.

    Args:
        names: Name of one dataset or of several.
        filter_empty: Drop images whose only annotations are crowds, or that have none.

    Returns:
        The records, in the standard dict format.

    Raises:
        AssertionError: No names, an empty dataset, or no record left.
        ValueError: The datasets differ in their class names.
    """
    names = [names] if isinstance(names, str) else names
    assert len(names), f"No dataset to load: {names}"
    per_dataset = [DatasetCatalog.get(name) for name in names]
    for name, dicts in zip(names, per_dataset, strict=True):
        assert len(dicts), f"Dataset '{name}' is empty!"
    dataset_dicts = list(itertools.chain.from_iterable(per_dataset))

    if "annotations" in dataset_dicts[0]:
        if filter_empty:
            dataset_dicts = filter_images_with_only_crowd_annotations(dataset_dicts)
        check_metadata_consistency("thing_classes", names)
        class_names = MetadataCatalog.get(names[0]).get("thing_classes")
        if class_names is not None:
            print_instances_class_histogram(dataset_dicts, class_names)
    assert len(dataset_dicts), f"No valid data found in {','.join(names)}."
    return dataset_dicts


class _Mapped(torchdata.Dataset):
    """Applies a mapper to every record of a dataset."""

    def __init__(self, dataset: Any, mapper: Callable):
        self._dataset = dataset
        self._mapper = mapper

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Any:
        return self._mapper(self._dataset[index])


def _test_loader_from_config(
    cfg: CfgNode, dataset_name: str | list[str], mapper: Callable | None = None
) -> dict[str, Any]:
    return {
        "dataset": get_detection_dataset_dicts(dataset_name, filter_empty=False),
        "mapper": DatasetMapper(cfg, False) if mapper is None else mapper,
        "num_workers": cfg.DATALOADER.NUM_WORKERS,
    }


@configurable(from_config=_test_loader_from_config)
def build_detection_test_loader(
    dataset: list[dict] | torchdata.Dataset,
    *,
    mapper: Callable | None,
    sampler: torchdata.Sampler | None = None,
    batch_size: int = 1,
    num_workers: int = 0,
    collate_fn: Callable | None = None,
) -> torchdata.DataLoader:
    """Builds a loader that yields each record once over all processes.

    Also callable as ``build_detection_test_loader(cfg, dataset_name, mapper=None)``.

    Args:
        dataset: List of records, or a map-style dataset.
        mapper: Maps a record to the model's input; None keeps the records.
        sampler: Yields indices; None means ``InferenceSampler``.
        batch_size: Images per step in this process.
        num_workers: Worker processes of this process's loader.
        collate_fn: Makes a batch of a list of inputs; None keeps the list.
    """
    records: Any = DatasetFromList(dataset, copy=False) if isinstance(dataset, list) else dataset
    if mapper is not None:
        records = _Mapped(records, mapper)
    return torchdata.DataLoader(
        records,
        batch_size=batch_size,
        sampler=InferenceSampler(len(records)) if sampler is None else sampler,
        drop_last=False,
        num_workers=num_workers,
        collate_fn=collate_fn or trivial_batch_collator,
    )


def trivial_batch_collator(batch: list) -> list:
    """Returns the list of inputs unchanged."""
    return batch
