"""A report on a run of the pipeline: numbers, times and pictures of each stage."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from solo_d2.utils.atomic_file import write_text
from solo_d2.utils.errors import InputError
from solo_d2.visualization.labels import draw_row, label_sheet, read_labels
from solo_d2.visualization.pictures import save_picture, shrink

from .files import read_object
from .pipeline import Pipeline
from .shards import read_counts
from .stages import StageRunner

logger = logging.getLogger(__name__)

_PAGE = "report.md"
_SHEET = "pictures.jpg"
# Pixels of a picture's side in the sheet, whose height JPEG limits to 65,535.
_MAX_SIDE = 640
# Evaluators' keys in the order of the table's columns; those that no stage has are omitted.
_METRICS = (
    "segm/AP50", "segm/AP75", "segm/AP", "segm/AR1", "segm/AR10", "segm/AR100", "bbox/AP50", "bbox/AP"
)  # fmt: skip


def write_report(
    pipeline: Pipeline,
    runner: StageRunner,
    command: str,
    read_picture: Callable[[Path], np.ndarray] | None = None,
) -> Path:
    """Writes ``report.md`` and its picture into the pipeline's output folder.

    Args:
        pipeline: The pipeline, which may have run partly.
        runner: The runner of its stages.
        command: The command line that repeats the run.
        read_picture: Maps a file to RGB uint8 (H, W, 3); None omits pictures, whose label files may be large.

    Returns:
        The page.
    """
    lines = ["# FreeSOLO", "", f"`{command}`", "", f"Images: {pipeline.images}. Seed: {pipeline.seed}.", ""]
    lines += _numbers(pipeline) + _times(pipeline, runner)
    drawn = {title: path for title, path in pipeline.label_stages.items() if Path(path).is_file()}
    rows = _draw(pipeline, list(drawn.values()), read_picture) if drawn and read_picture else []
    if rows:
        save_picture(label_sheet(rows), pipeline.output / _SHEET)
        lines += ["## Pictures", "", f"Columns: image, {', '.join(drawn)}.", "", f"![labels]({_SHEET})", ""]
    write_text(pipeline.output / _PAGE, ["\n".join(lines)])
    return pipeline.output / _PAGE


def _numbers(pipeline: Pipeline) -> list[str]:
    """Formats the class-agnostic results of each evaluated stage."""
    if not pipeline.measured:
        return ["No labels were given to evaluate with (--val-json).", ""]
    found = {}
    for title, stage in pipeline.measured.items():
        results = read_object(pipeline.output / stage / "evaluation.json")
        if results is not None:
            found[title] = results
    metrics = [key for key in _METRICS if any(key in results for results in found.values())]
    rows = [[title, *(_percent(results.get(key)) for key in metrics)] for title, results in found.items()]
    return ["## Class-agnostic results", "", *_table(["", *metrics], rows), ""]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _times(pipeline: Pipeline, runner: StageRunner) -> list[str]:
    """Formats the wall time of each finished stage; after a kill, only that of the last attempt."""
    rows = []
    for stage in pipeline.stages:
        done = runner.result(stage.name)
        if done:
            labels = runner.folder / stage.name / "labels.json"
            row = [stage.name, f"{done['seconds']:.0f}", str(done["attempts"])]
            rows.append(row + _label_counts(labels, done))
    header = ["stage", "seconds of the last attempt", "attempts", "images", "unreadable images", "masks"]
    return ["## Stages", "", *_table([*header, "masks per image", "masks/s"], rows), ""]


def _label_counts(labels: Path, done: Mapping[str, float]) -> list[str]:
    """Formats the counts of a stage that makes labels; after a kill their rate is unknown."""
    counts = read_counts(labels) if labels.is_file() else None
    if counts is None:
        return ["-"] * 5
    images, masks = counts["images"], counts["masks"]
    per_image = f"{masks / images:.1f}" if images else "-"
    timed = done["attempts"] == 1 and done["seconds"] > 0
    rate = f"{masks / done['seconds']:.1f}" if timed else "-"
    return [str(images), str(counts["skipped"]), str(masks), per_image, rate]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _draw(
    pipeline: Pipeline, label_files: Sequence[str], read_picture: Callable[[Path], np.ndarray]
) -> list[list[np.ndarray]]:
    """Draws a row per readable image: the image itself, then with the labels of each file."""
    listed = pipeline.listed.first(pipeline.sample)
    labels = [read_labels(path, listed.names) for path in label_files]
    rows = []
    for name in listed.names:
        try:
            row = draw_row(read_picture(listed.root / name), name, labels, with_scores=False)
        except InputError as error:
            logger.warning("not in the report: %s", error)
        else:
            rows.append([shrink(cell, _MAX_SIDE) for cell in row])
    return rows
