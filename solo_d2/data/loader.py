"""The training loader, whose batches are a pure function of data, seed and iteration."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader, Dataset

from detectron2.config import CfgNode, configurable
from detectron2.data import (
    DatasetCatalog,
    DatasetFromList,
    get_detection_dataset_dicts,
)
from detectron2.data.samplers import RepeatFactorTrainingSampler, TrainingSampler
from detectron2.utils import comm
from solo_d2.utils.errors import InputError, printable
from solo_d2.utils.image_file import UNREADABLE
from solo_d2.utils.settings import build, naming_keys
from solo_d2.utils.stop_signals import held_stop_signals, obey_only_parent

from .augmentations.copy_paste import CopyPaste
from .mappers.copy_paste import CopyPasteMapper, Records
from .mappers.instance import InstanceMapper
from .mappers.panoptic import PanopticMapper
from .stream import BatchStream, StreamItem, seeded_by_position

logger = logging.getLogger(__name__)

MAX_UNREADABLE_FRACTION = 0.1
MAX_UNREADABLE_IN_A_ROW = 10


@dataclass(frozen=True)
class Failure:
    """A data set entry that gave no sample.

    Attributes:
        file_name: File name of its image.
        reason: The reason in words.
        unreadable: Whether the image cannot be read; otherwise the mapper rejected it.
    """

    file_name: str
    reason: str
    unreadable: bool


@dataclass(frozen=True)
class Outcome:
    """The result of one stream item.

    Attributes:
        sample: The mapper's result; None when too many entries in a row failed.
        failures: Entries that failed before the one that gave the sample.
    """

    sample: dict | None
    failures: tuple[Failure, ...] = ()


class _MappedStream(Dataset):
    """Maps a stream item to an :class:`Outcome`; the next entry of the data set replaces a failed one."""

    def __init__(self, records: Records, mapper: Callable[[dict], dict | None], seed: int):
        self._records = records
        self._mapper = mapper
        self._seed = seed

    def __getitem__(self, item: StreamItem) -> Outcome:
        failures: list[Failure] = []
        for offset in range(MAX_UNREADABLE_IN_A_ROW):
            record = self._records[(item.index + offset) % len(self._records)]
            name = printable(str(record.get("file_name", f"entry {item.index + offset}")))
            try:
                with seeded_by_position(self._seed, item.position):
                    sample = self._mapper(record)
            except UNREADABLE as error:
                named = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
                reason = " ".join(named.split())
                failures.append(Failure(name, reason, unreadable=True))
                continue
            if sample is not None:
                return Outcome(sample, tuple(failures))
            failures.append(Failure(name, "the mapper returned nothing for it", unreadable=False))
        return Outcome(None, tuple(failures))


class TrainLoader:
    """An endless iterable of batches (lists of mapped samples) for this process.

    Attributes:
        seed: Seed of order and augmentation, the same on all ranks. The caller saves and restores it to
            resume.
        start_iter: Batches to skip at the start of the next iteration over the loader.
    """

    @configurable
    def __init__(
        self,
        records: list[dict],
        *,
        mapper: Callable[[dict], dict | None],
        total_batch_size: int,
        seed: int = -1,
        num_workers: int = 0,
        aspect_ratio_grouping: bool = True,
        repeat_factors: torch.Tensor | None = None,
        copy_paste: CopyPaste | None = None,
    ):
        """
        Args:
            records: The data set in Detectron2's format.
            mapper: Maps a record to a sample; the next record replaces None or an unreadable image.
            total_batch_size: Images per iteration over all processes.
            seed: Below 0 for a random one, agreed on by all processes.
            num_workers: Number of processes that read and map; 0 uses this process.
            aspect_ratio_grouping: Whether a batch holds only portrait or only landscape images.
            repeat_factors: (N,) appearances of each record per epoch; None for one.
            copy_paste: Pastes objects of other records onto samples; None pastes nothing.

        Raises:
            InputError: If there is no record, or the batch cannot be split evenly over the processes.
        """
        self._rank, self._world_size = comm.get_rank(), comm.get_world_size()
        if not records:
            raise InputError("records is empty: there is no training image left, check the annotation file")
        if total_batch_size < 1 or total_batch_size % self._world_size:
            raise InputError(
                f"total_batch_size {total_batch_size} must be a multiple of the number of processes "
                f"({self._world_size})"
            )
        self.seed = seed if seed >= 0 else comm.shared_random_seed()
        self.start_iter = 0
        self._size = len(records)
        self._records = DatasetFromList(records, copy=False)
        self._mapper = CopyPasteMapper(mapper, self._records, copy_paste) if copy_paste else mapper
        self._batch_size = total_batch_size // self._world_size
        self._num_workers = num_workers
        self._repeat_factors = repeat_factors
        self._groups = _orientations(records) if aspect_ratio_grouping else None
        self._reported: set[str] = set()
        self._unreadable: set[str] = set()

    @classmethod
    def from_config(cls, cfg: CfgNode, mapper: Callable[[dict], dict | None] | None = None) -> dict:
        """Reads ``DATASETS.TRAIN``, ``DATALOADER``, ``INPUT``, ``SOLVER.IMS_PER_BATCH`` and ``SEED``."""
        if not cfg.DATASETS.TRAIN:
            raise InputError("DATASETS.TRAIN is empty: name a registered data set to train on")
        unknown = [name for name in cfg.DATASETS.TRAIN if name not in DatasetCatalog]
        if unknown:
            raise InputError(f"DATASETS.TRAIN names {unknown}, which is not registered")
        try:
            records = get_detection_dataset_dicts(
                cfg.DATASETS.TRAIN, filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS
            )
        except AssertionError as error:
            raise InputError(f"DATASETS.TRAIN {tuple(cfg.DATASETS.TRAIN)}: {error}") from error
        sampler, repeat_factors = cfg.DATALOADER.SAMPLER_TRAIN, None
        if sampler == "RepeatFactorTrainingSampler":
            repeat_factors = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(
                records, cfg.DATALOADER.REPEAT_THRESHOLD, sqrt=cfg.DATALOADER.REPEAT_SQRT
            )
        elif sampler != "TrainingSampler":
            raise InputError(
                f"DATALOADER.SAMPLER_TRAIN {sampler!r} is unknown: use TrainingSampler or "
                "RepeatFactorTrainingSampler"
            )
        if not getattr(mapper, "needs_annotations", True):
            records = [{k: v for k, v in record.items() if k != "annotations"} for record in records]
        _check_mask_format(cfg.INPUT.MASK_FORMAT, records)
        if mapper is None and cfg.INPUT.COPY_PASTE.ENABLED:
            _check_pastable(cfg.INPUT.MASK_FORMAT, records)
        return {
            "records": records,
            "mapper": mapper if mapper is not None else default_mapper(cfg, records),
            "total_batch_size": cfg.SOLVER.IMS_PER_BATCH,
            "seed": cfg.SEED,
            "num_workers": cfg.DATALOADER.NUM_WORKERS,
            "aspect_ratio_grouping": cfg.DATALOADER.ASPECT_RATIO_GROUPING,
            "repeat_factors": repeat_factors,
            "copy_paste": cls._copy_paste_from_config(cfg),
        }

    @classmethod
    def _copy_paste_from_config(cls, cfg: CfgNode) -> CopyPaste | None:
        name = "INPUT.COPY_PASTE"
        return build(CopyPaste, cfg, name) if cfg.INPUT.COPY_PASTE.ENABLED else None

    def __iter__(self) -> Iterator[list[dict]]:
        """Yields batches endlessly, from iteration ``start_iter``.

        Raises:
            InputError: If too many images cannot be read.
        """
        stream = BatchStream(
            self._make_sampler,
            self._batch_size,
            self._rank,
            self._world_size,
            groups=self._groups,
            skip=self.start_iter,
        )
        # The stream is endless, so the worker processes live as long as the iterator.
        batches = DataLoader(
            _MappedStream(self._records, self._mapper, self.seed),
            batch_sampler=stream,
            num_workers=self._num_workers,
            collate_fn=_as_list,
            worker_init_fn=obey_only_parent,
            generator=torch.Generator(),  # keeps the process's own random state
        )
        with held_stop_signals():  # the worker processes start here
            outcomes_by_batch = iter(batches)
        try:
            for outcomes in outcomes_by_batch:
                for outcome in outcomes:
                    self._report(outcome)
                yield [outcome.sample for outcome in outcomes]
        except ConnectionError as error:  # a killed worker's pipe may break before its death is noticed
            raise RuntimeError(
                f"DataLoader worker (pid unknown) is gone: {error.strerror or error}"
            ) from None

    def _make_sampler(self) -> TrainingSampler | RepeatFactorTrainingSampler:
        if self._repeat_factors is None:
            return TrainingSampler(self._size, seed=self.seed)
        return RepeatFactorTrainingSampler(self._repeat_factors, seed=self.seed)

    def _report(self, outcome: Outcome) -> None:
        if not outcome.failures:
            return
        last = f"the last was {outcome.failures[-1].file_name} ({outcome.failures[-1].reason})"
        for failure in outcome.failures:
            if failure.unreadable:
                self._unreadable.add(failure.file_name)
            if failure.file_name not in self._reported:
                self._reported.add(failure.file_name)
                logger.warning(
                    "Cannot use %s, the next image takes its place (%s)", failure.file_name, failure.reason
                )
        if outcome.sample is None:
            raise InputError(f"{MAX_UNREADABLE_IN_A_ROW} training images in a row cannot be used, {last}")
        if len(self._unreadable) > MAX_UNREADABLE_FRACTION * self._size:
            raise InputError(
                f"{len(self._unreadable)} of {self._size} training images cannot be read, {last}"
            )


def _check_mask_format(mask_format: str, records: list[dict]) -> None:
    """Raises ``InputError`` if ``INPUT.MASK_FORMAT`` is unknown, or polygons are wanted of RLE masks."""
    if mask_format not in ("bitmask", "polygon"):
        raise InputError(f"INPUT.MASK_FORMAT {mask_format!r} is unknown: use bitmask or polygon")
    if mask_format == "bitmask":
        return
    for record in records:
        for annotation in record.get("annotations", ()):
            if isinstance(annotation.get("segmentation"), dict) and not annotation.get("iscrowd", 0):
                raise InputError(
                    f"masks of {record['file_name']} are RLE, no polygons: set INPUT.MASK_FORMAT bitmask"
                )


def _check_pastable(mask_format: str, records: list[dict]) -> None:
    """Raises ``InputError`` if this package's mappers give samples that copy-paste cannot mix."""
    if any("pan_seg_file_name" in record or "sem_seg_file_name" in record for record in records):
        raise InputError("INPUT.COPY_PASTE cannot paste semantic labels: set INPUT.COPY_PASTE.ENABLED False")
    if mask_format != "bitmask":
        raise InputError("INPUT.COPY_PASTE needs bit masks: set INPUT.MASK_FORMAT bitmask")


def _orientations(records: list[dict]) -> list[int] | None:
    """Returns 1 per landscape and 0 per portrait image; None if the records have no sizes."""
    if all("width" in record and "height" in record for record in records):
        return [int(record["width"] > record["height"]) for record in records]
    logger.warning("Batches mix upright and lying images: the data set does not tell the images' sizes")
    return None


def _as_list(outcomes: list[Outcome]) -> list[Outcome]:
    return outcomes


def default_mapper(cfg: CfgNode, records: list[dict]) -> InstanceMapper:
    """Returns the mapper for the records: from panoptic PNG files, or from instance annotations."""
    panoptic = any("pan_seg_file_name" in record for record in records)
    return (PanopticMapper if panoptic else InstanceMapper)(cfg, True)


def build_train_loader(cfg: CfgNode, mapper: Callable[[dict], dict | None] | None = None) -> TrainLoader:
    """Builds the training loader of a config.

    Args:
        cfg: The config.
        mapper: Maps a record to a sample; by default :func:`default_mapper`'s.

    Returns:
        The loader; set its ``start_iter`` (and the ``seed`` of the interrupted run) to resume.
    """
    with naming_keys({"total_batch_size": "SOLVER.IMS_PER_BATCH"}):
        return TrainLoader(cfg, mapper=mapper)
