"""Labels images with a model, shard by shard, in one or several processes, into one COCO JSON."""

import logging
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pycocotools.mask as mask_util
import torch

from detectron2.structures import Instances
from solo_d2.data.loader import MAX_UNREADABLE_FRACTION
from solo_d2.engine.cli import run_reporting_errors
from solo_d2.evaluation.coco_rows import instances_to_coco_json
from solo_d2.utils.errors import InputError

from .shards import CATEGORY, Shard, ShardStore

logger = logging.getLogger(__name__)

# Decimals of boxes (pixels) and of scores and embeddings.
_BOX_DIGITS, _VALUE_DIGITS = 2, 6
# Maximum number of batches of images that wait until a batch of their shape is full.
_WAITING_BATCHES = 4


class Segmenter(Protocol):
    """A model that labels images, such as ``solo_d2.Predictor``."""

    def load(self, picture: Path) -> dict:
        """Reads a file as Detectron2's model input; raises ``InputError`` if it cannot be read."""

    def segment(self, inputs: list[dict]) -> list[dict]:
        """Returns {"instances": Instances} for each input, at its "height" and "width"."""


@dataclass(frozen=True)
class Labeling:
    """The settings of every process; can be pickled.

    Attributes:
        make_segmenter: Maps a device (None: the config's) to a model.
        select: Selects the predictions that become labels.
        store: The shards.
        root: Folder of the images.
        batch_size: Images per forward pass.
        device: The config's device; only "cuda" distributes processes over all GPUs.
    """

    make_segmenter: Callable[..., Segmenter]
    select: Callable[[Instances], Instances]
    store: ShardStore
    root: Path
    batch_size: int
    device: str = "cuda"

    def run(self, shards: Sequence[int], device: str | None = None) -> None:
        """Labels some shards in this process."""
        segmenter = self.make_segmenter(device=device)
        for done, shard in enumerate(shards, start=1):
            start = time.perf_counter()
            content = self.label(segmenter, self.store.images_of(shard))
            self.store.write(shard, content)
            count, seconds = len(content.images), time.perf_counter() - start
            logger.info(
                "shard %d (%d of %d): %d images, %d masks, %.1f images/s, %.1f masks/s",
                shard, done, len(shards), count, len(content.annotations),
                count / seconds, len(content.annotations) / seconds,
            )  # fmt: skip

    def label(self, segmenter: Segmenter, listed: Sequence[tuple[int, str]]) -> Shard:
        """Labels images; the result does not depend on the order in which batches fill.

        Args:
            segmenter: The model.
            listed: (COCO id, file name below ``root``) of each image.
        """
        loaded = load_ahead(segmenter.load, [self.root / name for _, name in listed], self.batch_size)
        found: dict[int, tuple[dict, list[dict]]] = {}
        shard = Shard()
        for batch in group_by_shape(_readable(loaded, shard.skipped), self.batch_size):
            results = segmenter.segment([model_input for _, model_input in batch])
            for (index, _), result in zip(batch, results, strict=True):
                # Encoded immediately, because a shard's masks as pixels could fill the memory.
                found[index] = self._records(result["instances"], *listed[index])
        for index in sorted(found):
            image, annotations = found[index]
            shard.images.append(image)
            shard.annotations += annotations
        return shard

    def _records(self, instances: Instances, image_id: int, name: str) -> tuple[dict, list[dict]]:
        """Returns the COCO records of an image and of its labels."""
        height, width = instances.image_size
        image = {"id": image_id, "file_name": name, "height": height, "width": width}
        return image, annotations_of(self.select(instances).to("cpu"), image_id)


def run_labeling(labeling: Labeling, shards: Sequence[int], processes: int = 1) -> None:
    """Labels shards, split evenly over processes, which take GPUs in turn.

    Args:
        labeling: The job.
        shards: Numbers of the shards.
        processes: Number of processes; 1 works in this process.

    Raises:
        SystemExit: If a process failed; it has logged the reason.
    """
    processes = max(1, min(processes, len(shards)))
    if processes == 1:
        labeling.run(shards)
        return
    torch.multiprocessing.spawn(_work, (labeling, shards, processes, logger.getEffectiveLevel()), processes)


def _work(rank: int, labeling: Labeling, shards: Sequence[int], processes: int, level: int) -> None:
    """Labels one process's shards on its GPU."""
    logging.basicConfig(level=level, format="%(message)s")
    gpus = torch.cuda.device_count() if labeling.device == "cuda" else 0
    if not gpus:
        torch.set_num_threads(max(1, torch.get_num_threads() // processes))
    device = f"cuda:{rank % gpus}" if gpus else None
    run_reporting_errors(labeling.run, shards[rank::processes], device)


def load_ahead(
    load: Callable[[Path], dict], paths: Sequence[Path], ahead: int
) -> Iterator[tuple[int, dict | InputError]]:
    """Loads files in a thread, at most ``ahead`` of them in advance.

    Yields:
        (index, loaded), in order; an error instead of the content if a file cannot be read.
    """
    waiting: deque[tuple[int, Future]] = deque()
    with ThreadPoolExecutor(1) as pool:
        for index, path in enumerate(paths):
            waiting.append((index, pool.submit(load, path)))
            if len(waiting) > ahead:
                yield _result(*waiting.popleft())
        while waiting:
            yield _result(*waiting.popleft())


def _result(index: int, future: Future) -> tuple[int, dict | InputError]:
    try:
        return index, future.result()
    except InputError as error:
        return index, error


def _readable(
    loaded: Iterable[tuple[int, dict | InputError]], skipped: list[str]
) -> Iterator[tuple[int, dict]]:
    """Yields the loaded files; errors become lines of ``skipped``."""
    for index, item in loaded:
        if isinstance(item, InputError):
            logger.warning("skipped: %s", item)
            skipped.append(str(item))
        else:
            yield index, item


def group_by_shape(items: Iterable[tuple[int, dict]], batch_size: int) -> Iterator[list[tuple[int, dict]]]:
    """Collects model inputs of equal image shape into batches without padding.

    Yields:
        At most ``batch_size`` items; fewer if too many images of other shapes wait, and at the end.
    """
    waiting: dict[tuple[int, ...], list[tuple[int, dict]]] = defaultdict(list)
    for item in items:
        shape = tuple(item[1]["image"].shape)
        waiting[shape].append(item)
        if len(waiting[shape]) == batch_size:
            yield waiting.pop(shape)
        elif sum(map(len, waiting.values())) > _WAITING_BATCHES * batch_size:
            yield waiting.pop(max(waiting, key=lambda shape: len(waiting[shape])))
    yield from waiting.values()


def annotations_of(instances: Instances, image_id: int) -> list[dict]:
    """Returns COCO annotations without "id": RLE, box (x, y, width, height), area, score, embedding.

    Args:
        instances: Results on the CPU, with ``pred_masks``; ``pred_embeddings`` (N, D) gives "embedding".
        image_id: COCO id of their image.
    """
    rows = instances_to_coco_json(instances, image_id)
    if not rows:
        return []
    areas = mask_util.area([row["segmentation"] for row in rows]).tolist()
    for row, area in zip(rows, areas, strict=True):
        row["category_id"] = CATEGORY["id"]
        row["bbox"] = [round(value, _BOX_DIGITS) for value in row["bbox"]]
        row["score"] = round(row["score"], _VALUE_DIGITS)
        row.update(area=area, iscrowd=0)
    if instances.has("pred_embeddings"):
        embeddings = instances.pred_embeddings.double().tolist()
        for row, embedding in zip(rows, embeddings, strict=True):
            row["embedding"] = [round(value, _VALUE_DIGITS) for value in embedding]
    return rows


def select_all(instances: Instances) -> Instances:
    """Selects every prediction."""
    return instances


@dataclass(frozen=True)
class Totals:
    """Counts of a label file: images, masks, and images that could not be read."""

    images: int
    masks: int
    skipped: int


def count_labels(store: ShardStore) -> Totals:
    """Adds up the finished shards.

    Raises:
        InputError: If more images could not be read than training tolerates. Shards with such images are then
            deleted, so that the next call reads them again.
    """
    images = masks = skipped = 0
    incomplete = []
    for shard, content in enumerate(store.contents()):
        images += len(content.images)
        masks += len(content.annotations)
        skipped += len(content.skipped)
        incomplete += [shard] if content.skipped else []
    if skipped > MAX_UNREADABLE_FRACTION * (images + skipped):
        store.forget(incomplete)
        raise InputError(
            f"{skipped} of {images + skipped} images cannot be read: fix them and run the same "
            "command again, or list fewer images for another --output"
        )
    return Totals(images, masks, skipped)
