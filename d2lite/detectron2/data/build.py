"""From dataset names (or a config) to data loaders."""

import itertools
import logging
from collections.abc import Callable

import numpy as np
import torch
import torch.utils.data as torchdata
from tabulate import tabulate
from termcolor import colored

from detectron2.config import configurable
from detectron2.utils.comm import get_world_size
from detectron2.utils.env import seed_all_rng
from detectron2.utils.logger import log_first_n

from .catalog import DatasetCatalog, MetadataCatalog
from .common import AspectRatioGroupedDataset, DatasetFromList, MapDataset, ToIterableDataset
from .dataset_mapper import DatasetMapper
from .detection_utils import check_metadata_consistency
from .samplers import InferenceSampler, RepeatFactorTrainingSampler, TrainingSampler

_HISTOGRAM_COLUMNS = 3


def filter_images_with_only_crowd_annotations(dataset_dicts: list[dict]) -> list[dict]:
    """Returns the images that have at least one annotation that is not a crowd."""
    kept = [d for d in dataset_dicts if any(ann.get("iscrowd", 0) == 0 for ann in d["annotations"])]
    logging.getLogger(__name__).info(
        f"Removed {len(dataset_dicts) - len(kept)} images with no usable annotations. "
        f"{len(kept)} images left."
    )
    return kept


def print_instances_class_histogram(dataset_dicts: list[dict], class_names: list[str]) -> None:
    """Logs, once, a table of the number of instances per class; crowds are not counted.

    Raises:
        AssertionError: a category_id is no index into class_names.
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

    rows = [*zip(class_names, counts.tolist(), strict=True), ("total", int(counts.sum()))]
    side_by_side = min(_HISTOGRAM_COLUMNS, len(rows))
    cells = itertools.zip_longest(*(rows[i::side_by_side] for i in range(side_by_side)), fillvalue=("", None))
    table = tabulate(
        [list(itertools.chain.from_iterable(row)) for row in cells],
        headers=["category", "#instances"] * side_by_side,
        tablefmt="pipe",
        stralign="center",
    )
    log_first_n(
        logging.INFO,
        f"Distribution of instances among all {num_classes} categories:\n" + colored(table, "cyan"),
        key="message",
    )


def get_detection_dataset_dicts(names: str | list[str], filter_empty: bool = True) -> list[dict]:
    """Loads registered datasets and joins them; logs how many instances each class has.

    Args:
        names: one dataset's name or several.
        filter_empty: leave out images without an annotation other than a crowd.

    Returns:
        The elements, in the standard dict format.

    Raises:
        AssertionError: no names, an empty dataset, or nothing left.
        ValueError: the datasets differ in their class names.
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


def build_batch_data_loader(
    dataset,
    sampler,
    total_batch_size: int,
    *,
    aspect_ratio_grouping: bool = False,
    num_workers: int = 0,
    collate_fn: Callable | None = None,
    drop_last: bool = True,
    seed: int | None = None,
    **kwargs,
):
    """Builds a loader of batches out of a dataset of elements.

    Args:
        dataset: map-style dataset, or an iterable one (then without a sampler).
        sampler: yields indices; None with an iterable dataset.
        total_batch_size: images per step over all processes.
        aspect_ratio_grouping: put images of like orientation together; elements need "width" and
            "height".
        num_workers: worker processes of this process's loader.
        collate_fn: list of elements -> batch; None keeps the list.
        drop_last: leave out a last batch that is not full.
        seed: of the workers' random generators; None for a random one.
        **kwargs: for torch's DataLoader.

    Raises:
        AssertionError: total_batch_size cannot be divided among the processes.
    """
    world_size = get_world_size()
    assert total_batch_size > 0 and total_batch_size % world_size == 0, (
        f"Total batch size ({total_batch_size}) must be divisible by the number of processes ({world_size})."
    )
    batch_size = total_batch_size // world_size
    if isinstance(dataset, torchdata.IterableDataset):
        assert sampler is None, "sampler must be None if dataset is IterableDataset"
    else:
        dataset = ToIterableDataset(dataset, sampler, shard_chunk_size=batch_size)

    generator = None if seed is None else torch.Generator().manual_seed(seed)
    common = dict(
        num_workers=num_workers, worker_init_fn=worker_init_reset_seed, generator=generator, **kwargs
    )
    if not aspect_ratio_grouping:
        return torchdata.DataLoader(
            dataset,
            batch_size=batch_size,
            drop_last=drop_last,
            collate_fn=collate_fn or trivial_batch_collator,
            **common,
        )
    assert drop_last, "Grouping by aspect ratio always leaves out batches that are not full."
    elements = torchdata.DataLoader(dataset, batch_size=None, collate_fn=trivial_batch_collator, **common)
    batches = AspectRatioGroupedDataset(elements, batch_size)
    return batches if collate_fn is None else MapDataset(batches, collate_fn)


def _build_train_sampler(cfg, dataset) -> torchdata.Sampler:
    name = cfg.DATALOADER.SAMPLER_TRAIN
    logging.getLogger(__name__).info(f"Using training sampler {name}")
    if name == "TrainingSampler":
        return TrainingSampler(len(dataset))
    if name == "RepeatFactorTrainingSampler":
        return RepeatFactorTrainingSampler(
            RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(
                dataset, cfg.DATALOADER.REPEAT_THRESHOLD, sqrt=cfg.DATALOADER.REPEAT_SQRT
            )
        )
    raise ValueError(
        f"Unknown training sampler '{name}' in DATALOADER.SAMPLER_TRAIN: expected "
        f"'TrainingSampler' or 'RepeatFactorTrainingSampler'."
    )


def _train_loader_from_config(cfg, mapper=None, *, dataset=None, sampler=None) -> dict:
    if dataset is None:
        dataset = get_detection_dataset_dicts(
            cfg.DATASETS.TRAIN, filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS
        )
    if sampler is None and not isinstance(dataset, torchdata.IterableDataset):
        sampler = _build_train_sampler(cfg, dataset)
    return {
        "dataset": dataset,
        "sampler": sampler,
        "mapper": DatasetMapper(cfg, True) if mapper is None else mapper,
        "total_batch_size": cfg.SOLVER.IMS_PER_BATCH,
        "aspect_ratio_grouping": cfg.DATALOADER.ASPECT_RATIO_GROUPING,
        "num_workers": cfg.DATALOADER.NUM_WORKERS,
    }


@configurable(from_config=_train_loader_from_config)
def build_detection_train_loader(
    dataset,
    *,
    mapper,
    sampler=None,
    total_batch_size: int,
    aspect_ratio_grouping: bool = True,
    num_workers: int = 0,
    collate_fn: Callable | None = None,
    **kwargs,
):
    """Builds an endless loader for training.

    Also callable as `build_detection_train_loader(cfg, mapper=None, dataset=None, sampler=None)`.

    Args:
        dataset: list of elements, or a torch dataset.
        mapper: element -> what the model takes; None keeps the elements.
        sampler: yields indices without end; None means a shuffling `TrainingSampler`.
        total_batch_size: images per step over all processes.
        aspect_ratio_grouping: see `build_batch_data_loader`.
        num_workers: worker processes of this process's loader.
        collate_fn: list of elements -> batch; None keeps the list.
        **kwargs: for `build_batch_data_loader`.

    Returns:
        An iterable over lists of mapped elements, total_batch_size / number of processes long.
    """
    if isinstance(dataset, list):
        dataset = DatasetFromList(dataset, copy=False)
    if mapper is not None:
        dataset = MapDataset(dataset, mapper)
    if sampler is None and not isinstance(dataset, torchdata.IterableDataset):
        sampler = TrainingSampler(len(dataset))
    return build_batch_data_loader(
        dataset,
        sampler,
        total_batch_size,
        aspect_ratio_grouping=aspect_ratio_grouping,
        num_workers=num_workers,
        collate_fn=collate_fn,
        **kwargs,
    )


def _test_loader_from_config(cfg, dataset_name: str | list[str], mapper=None) -> dict:
    dataset = get_detection_dataset_dicts(dataset_name, filter_empty=False)
    return {
        "dataset": dataset,
        "mapper": DatasetMapper(cfg, False) if mapper is None else mapper,
        "num_workers": cfg.DATALOADER.NUM_WORKERS,
        "sampler": InferenceSampler(len(dataset)),
    }


@configurable(from_config=_test_loader_from_config)
def build_detection_test_loader(
    dataset,
    *,
    mapper,
    sampler: torchdata.Sampler | None = None,
    batch_size: int = 1,
    num_workers: int = 0,
    collate_fn: Callable | None = None,
) -> torchdata.DataLoader:
    """Builds a loader that yields each element once over all processes.

    Also callable as `build_detection_test_loader(cfg, dataset_name, mapper=None)`.

    Args:
        dataset: list of elements, or a torch dataset.
        mapper: element -> what the model takes; None keeps the elements.
        sampler: yields indices; None means `InferenceSampler`.
        batch_size: images per step in this process.
        num_workers: worker processes of this process's loader.
        collate_fn: list of elements -> batch; None keeps the list.
    """
    if isinstance(dataset, list):
        dataset = DatasetFromList(dataset, copy=False)
    if mapper is not None:
        dataset = MapDataset(dataset, mapper)
    if isinstance(dataset, torchdata.IterableDataset):
        assert sampler is None, "sampler must be None if dataset is IterableDataset"
    elif sampler is None:
        sampler = InferenceSampler(len(dataset))
    return torchdata.DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        drop_last=False,
        num_workers=num_workers,
        collate_fn=collate_fn or trivial_batch_collator,
    )


def trivial_batch_collator(batch):
    """Returns the elements as they are, without stacking them."""
    return batch


def worker_init_reset_seed(worker_id: int) -> None:
    """Seeds numpy, random and torch in a worker process, differently in each."""
    seed_all_rng((torch.initial_seed() + worker_id) % 2**31)
