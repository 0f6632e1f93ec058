"""A page on what a model finds in validation pictures: numbers, curves, the worst mistakes, all pictures."""

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from solo_d2.evaluation.coco_statistics import precision_curves
from solo_d2.evaluation.mistakes import KINDS, SEVERAL, Mistake, find_mistakes
from solo_d2.utils.image_file import UNREADABLE, read_image

from .html_page import code, curves, figure, paragraph, row, table, write_page
from .labels import draw_labels
from .pictures import shrink

logger = logging.getLogger(__name__)

_MOST_OF_KIND = 6  # mistakes that are shown
_PICTURE_SIDE, _CROP_SIDE = 640, 320  # pixels of the longer side
_SURROUNDINGS = 0.6  # of a mistake's longer side, on each side of it
_METRICS = ("AP", "AP50", "AP75")


def write_photo_report(
    path: str | os.PathLike,
    truth: COCO,
    results: Sequence[Mapping],
    images: str | os.PathLike,
    numbers: Mapping[str, float | None],
    facts: Mapping[str, str],
    min_score: float = 0.5,
) -> None:
    """Writes the page.

    Args:
        path: The HTML file.
        truth: The annotations that the evaluation used.
        results: Its COCO results, with the same ids; masks are compressed RLE.
        images: Folder that file names in the annotations are relative to.
        numbers: The evaluation's results by name, such as "segm/AP"; None is undefined.
        facts: What else to tell, by heading: the command, times.
        min_score: Results below it are not drawn and are no mistakes.
    """
    mistakes = find_mistakes(truth, results, min_score)
    shown = [one for kind in KINDS for one in [m for m in mistakes if m.kind == kind][:_MOST_OF_KIND]]
    pairs, crops = _draw(truth, [one for one in results if one["score"] >= min_score], Path(images), shown)
    counts = Counter(mistake.kind for mistake in mistakes)
    kept = sum(one["score"] >= min_score for one in results)
    said = (
        f"Of {kept} masks with a score of {min_score:g} or more, {counts[SEVERAL]} contain at least half of "
        f"two objects or more. At most {_MOST_OF_KIND} mistakes of a kind are shown, the largest first."
    )
    sections = {
        "Results": _numbers(numbers) + paragraph(f"{len(truth.imgs)} validation pictures."),
        **{name: code(text) for name, text in facts.items()},
        "Precision and recall": _curves(truth, results),
        "Worst mistakes": table([("kind", "number"), *((kind, str(counts[kind])) for kind in KINDS)])
        + paragraph(said)
        + row([crops[number] for number in sorted(crops)]),
        "All validation pictures": paragraph("Left: annotations. Right: results.") + "".join(pairs),
    }
    write_page(path, "Photographs", sections)


def _numbers(numbers: Mapping[str, float | None]) -> str:
    """Returns the table of the evaluation: all classes together, then each."""
    rows = [["", *(f"{task} {name}" for task in ("mask", "box") for name in _METRICS)]]
    keys = [f"{task}/{name}" for task in ("segm", "bbox") for name in _METRICS]
    rows.append(["all classes", *(_percent(numbers.get(key)) for key in keys)])
    for key in numbers:
        if key.startswith("segm/AP-"):
            name = key.removeprefix("segm/AP-")
            own = {"segm/AP": numbers[key], "bbox/AP": numbers.get(f"bbox/AP-{name}")}
            rows.append([name, *(_percent(own[key]) if key in own else "" for key in keys)])
    return table(rows)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _curves(truth: COCO, results: Sequence[Mapping]) -> str:
    found = precision_curves(truth, [dict(one) for one in results]) if results else {}
    if not found:
        return paragraph("There is nothing to show without results or annotations.")
    named = {f"mask IoU {iou:g}": values.tolist() for iou, values in found.items()}
    return curves(named, "recall", "precision, mean of the classes")


def _draw(
    truth: COCO, results: Iterable[Mapping], images: Path, mistakes: Sequence[Mistake]
) -> tuple[list[str], dict[int, str]]:
    """Draws every picture once.

    Returns:
        Annotations next to results for each picture, and the mistakes by their number.
    """
    names = {category["id"]: category["name"] for category in truth.dataset["categories"]}
    by_image, wrong = defaultdict(list), defaultdict(list)
    for result in results:
        by_image[result["image_id"]].append(result)
    for number, mistake in enumerate(mistakes):
        wrong[mistake.image_id].append((number, mistake))
    pairs, crops = [], {}
    for image_id in truth.getImgIds():
        record = truth.imgs[image_id]
        file_name = str(record["file_name"])
        try:
            picture = read_image(images / file_name)
        except UNREADABLE as error:
            logger.warning("not in the report: %s", error)
            continue
        objects = truth.loadAnns(truth.getAnnIds(imgIds=[image_id]))
        drawn = [draw_labels(picture, some, names=names) for some in (objects, by_image[image_id])]
        pairs.append(row([figure(shrink(one, _PICTURE_SIDE), file_name) for one in drawn]))
        for number, mistake in wrong[image_id]:
            crops[number] = figure(_crop(picture, mistake), f"{_describe(mistake, names)}; {file_name}")
    return pairs, crops


def _describe(mistake: Mistake, names: Mapping[int | str, str]) -> str:
    """Returns a mistake in words, such as "wrong class: fig 0.80, not date"."""
    score = "" if mistake.kind == KINDS[0] else f" {mistake.weight:.2f}"
    other = mistake.true_category_id
    end = "" if other is None else f", not {names.get(other, other)}"
    return f"{mistake.kind}: {names.get(mistake.category_id, mistake.category_id)}{score}{end}"


def _crop(picture: np.ndarray, mistake: Mistake) -> np.ndarray:
    """Returns the mistake's mask on its surroundings."""
    left, top, width, height = (float(value) for value in coco_mask.toBbox(mistake.segmentation))
    margin = _SURROUNDINGS * max(width, height)
    x0, y0 = max(0, int(left - margin)), max(0, int(top - margin))
    x1, y1 = int(left + width + margin) + 1, int(top + height + margin) + 1
    mask = coco_mask.encode(np.asfortranarray(coco_mask.decode(mistake.segmentation)[y0:y1, x0:x1]))
    return shrink(draw_labels(picture[y0:y1, x0:x1], [{"segmentation": _as_text(mask)}]), _CROP_SIDE)


def _as_text(mask: Mapping) -> dict:
    return {"size": list(mask["size"]), "counts": mask["counts"].decode("ascii")}
