"""Many pictures through the model: in batches, on one device or split over several processes."""

import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from detectron2.config import CfgNode
from solo_d2.predictor import Predictor, to_array
from solo_d2.utils.errors import InputError
from solo_d2.visualization.pictures import RESULT_QUALITY, save_picture
from solo_d2.visualization.results import draw_picture

from .inputs import InputImage
from .results import category_ids, coco_rows


@dataclass(frozen=True)
class Job:
    """What every process needs to know.

    Attributes:
        cfg: config with the weights in ``MODEL.WEIGHTS``.
        score_threshold: results below it are neither drawn nor written.
        batch_size: pictures per forward pass.
        parts: what is drawn, one of ``visualization.results.PARTS``.
    """

    cfg: CfgNode
    score_threshold: float
    batch_size: int
    parts: str = "both"

    def predictor(self, device: str | None = None) -> Predictor:
        return Predictor(
            self.cfg,
            device=device,
            score_threshold=self.score_threshold,
            batch_size=self.batch_size,
        )


@dataclass
class Outcome:
    """What came of some pictures or frames.

    Attributes:
        num_done: pictures segmented and written.
        failures: one line per unreadable picture.
        rows: COCO results.
    """

    num_done: int = 0
    failures: list[str] = field(default_factory=list)
    rows: list[dict] = field(default_factory=list)

    def add(self, other: "Outcome") -> None:
        self.num_done += other.num_done
        self.failures += other.failures
        self.rows += other.rows


def segment_pictures(
    images: Sequence[InputImage], targets: Sequence[Path], job: Job, devices: Sequence[str | None]
) -> Outcome:
    """Segments pictures and writes their overlays; unreadable ones are reported and skipped.

    Args:
        images: what to segment.
        targets: where each overlay goes.
        job: model and thresholds.
        devices: one process per entry, each with its share of the pictures; a single entry runs
            in this process. None lets the predictor choose.

    Returns:
        The merged outcome; rows ordered by image id.

    Raises:
        InputError: the config or the weights cannot be used.
    """
    pairs = list(zip(images, targets, strict=True))
    devices = devices[: max(1, len(pairs))]
    outcome = Outcome()
    if len(devices) == 1:
        outcome.add(_segment_share(pairs, job, devices[0], 0))
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(len(devices), mp_context=context) as pool:
            shares = [
                pool.submit(_segment_share, pairs[rank :: len(devices)], job, device, rank)
                for rank, device in enumerate(devices)
            ]
            for share in shares:
                outcome.add(share.result())
    outcome.rows.sort(key=lambda row: row["image_id"])
    return outcome


def _segment_share(
    pairs: Sequence[tuple[InputImage, Path]], job: Job, device: str | None, rank: int
) -> Outcome:
    """One process's pictures; ``rank`` is its progress bar's line."""
    predictor = job.predictor(device)
    outcome = Outcome()
    with tqdm(total=len(pairs), unit="image", position=rank, disable=None) as bar:
        for start in range(0, len(pairs), job.batch_size):
            batch = pairs[start : start + job.batch_size]
            outcome.add(_segment_batch(batch, predictor, job.parts))
            bar.update(len(batch))
    return outcome


def _segment_batch(batch: Sequence[tuple[InputImage, Path]], predictor: Predictor, parts: str) -> Outcome:
    outcome = Outcome()
    readable = []
    for image, target in batch:
        try:
            readable.append((image, target, to_array(image.path, "RGB")))
        except InputError as error:
            outcome.failures.append(str(error))
            tqdm.write(f"skipped: {error}", file=sys.stderr)
    found = predictor.predict([array for *_, array in readable], channels="RGB")
    categories = category_ids(predictor.metadata)
    for (image, target, array), result in zip(readable, found, strict=True):
        save_picture(draw_picture(array, result, predictor.metadata, parts), target, RESULT_QUALITY)
        outcome.rows += coco_rows(result["instances"], image.image_id, image.name.as_posix(), categories)
        outcome.num_done += 1
    return outcome
