"""Segments pictures in batches, in one process or in several."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tqdm import tqdm

from detectron2.config import CfgNode
from solo_d2.inputs import to_array
from solo_d2.predictor import Predictor
from solo_d2.results.formats import coco_rows
from solo_d2.utils.errors import InputError
from solo_d2.utils.parallel import map_in_processes
from solo_d2.visualization.pictures import RESULT_QUALITY, save_picture
from solo_d2.visualization.results import draw_picture

from .inputs import InputImage


@dataclass(frozen=True)
class Job:
    """Settings that every process needs.

    Attributes:
        cfg: Config with the weights in ``MODEL.WEIGHTS``, or the path of an exported file.
        score_threshold: Results below it are neither drawn nor written.
        batch_size: Pictures per forward pass.
        parts: Parts to draw, one of ``visualization.results.PARTS``.
        opts: Overrides from the command line, which the config has, see :class:`Predictor`.
    """

    cfg: CfgNode | str
    score_threshold: float
    batch_size: int
    parts: str = "both"
    opts: Sequence[str] = ()

    def predictor(self, device: str | None = None) -> Predictor:
        """Builds the model."""
        return Predictor(
            self.cfg,
            opts=self.opts,
            device=device,
            score_threshold=self.score_threshold,
            batch_size=self.batch_size,
        )


@dataclass
class Outcome:
    """Results of some pictures or frames.

    Attributes:
        num_done: Number of pictures segmented and written.
        failures: One line per unreadable picture.
        rows: COCO results.
    """

    num_done: int = 0
    failures: list[str] = field(default_factory=list)
    rows: list[dict] = field(default_factory=list)

    def add(self, other: "Outcome") -> None:
        """Adds the results of other pictures."""
        self.num_done += other.num_done
        self.failures += other.failures
        self.rows += other.rows


def segment_pictures(
    images: Sequence[InputImage], targets: Sequence[Path], job: Job, devices: Sequence[str | None]
) -> Outcome:
    """Segments pictures and writes their overlays; unreadable ones are reported and skipped.

    Args:
        images: The pictures.
        targets: The file of each overlay.
        job: Model and thresholds.
        devices: One process per entry, each with its share of the pictures; a single entry runs in this
            process. None lets the predictor choose.

    Returns:
        The merged outcome; rows ordered by image id.

    Raises:
        InputError: The config or the weights cannot be used.
    """
    pairs = list(zip(images, targets, strict=True))
    devices = devices[: max(1, len(pairs))]
    shares = [(rank, device, pairs[rank :: len(devices)]) for rank, device in enumerate(devices)]
    outcome = Outcome()
    segment = partial(_segment_share, job=job)
    for part in map_in_processes(segment, shares, len(shares), chunk=1, start_method="spawn"):
        outcome.add(part)
    outcome.rows.sort(key=lambda row: row["image_id"])
    return outcome


def _segment_share(share: tuple[int, str | None, Sequence[tuple[InputImage, Path]]], job: Job) -> Outcome:
    """Segments one process's share: rank (the line of its progress bar), device, and pictures."""
    rank, device, pairs = share
    predictor = job.predictor(device)
    outcome = Outcome()
    with tqdm(total=len(pairs), unit="image", position=rank, disable=None) as bar:
        for start in range(0, len(pairs), job.batch_size):
            batch = pairs[start : start + job.batch_size]
            outcome.add(_segment_batch(batch, predictor, job.parts))
            bar.update(len(batch))
    return outcome


def _segment_batch(batch: Sequence[tuple[InputImage, Path]], predictor: Predictor, parts: str) -> Outcome:
    """Segments a batch in one forward pass; unreadable pictures are reported and skipped."""
    outcome = Outcome()
    readable = []
    for image, target in batch:
        try:
            readable.append((image, target, to_array(image.path, "RGB")))
        except InputError as error:
            outcome.failures.append(str(error))
            tqdm.write(f"skipped: {error}", file=sys.stderr)
    found = predictor.predict([array for *_, array in readable], channels="RGB")
    categories = predictor.category_ids
    for (image, target, array), result in zip(readable, found, strict=True):
        save_picture(draw_picture(array, result, predictor.metadata, parts), target, RESULT_QUALITY)
        outcome.rows += coco_rows(result["instances"], image.image_id, image.name.as_posix(), categories)
        outcome.num_done += 1
    return outcome
