"""Error analysis that replaces predictions by ground truth (SOLO paper, section 3.5).

Each predicted mask is replaced by the ground-truth mask of its image that it overlaps most, and AP is
measured again. The gain is the loss caused by the mask branch. Swapping the class, or both, does the same for
the category branch. Objects that were not found, or found twice, cause the rest.
"""

import os
from collections import defaultdict
from collections.abc import Collection, Sequence

from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from solo_d2.utils.errors import InputError
from solo_d2.utils.json_file import read_json

from .coco_statistics import check_masks, coco_statistics, index_truth

# Name of a row -> parts that are swapped in it.
SWAPS = {
    "predictions": (),
    "true masks": ("mask",),
    "true classes": ("class",),
    "true masks and classes": ("mask", "class"),
}
METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def analyze_errors(truth: COCO, results: Sequence[dict]) -> dict[str, dict]:
    """Measures mask AP of the original results and with each of ``SWAPS``.

    Args:
        truth: The annotations, see :func:`read_pair`.
        results: COCO results with masks.

    Returns:
        {row: {metric: percent}}; NaN where there is no ground truth of that size.
    """
    matches = match_ground_truth(truth, results)
    return {name: measure(truth, swap(truth, results, matches, parts)) for name, parts in SWAPS.items()}


def match_ground_truth(truth: COCO, results: Sequence[dict]) -> list[dict | None]:
    """Finds the ground truth of any class that each result's mask overlaps most; crowds do not count.

    Args:
        truth: The annotations.
        results: COCO results with compressed RLE.

    Returns:
        Annotations in the order of the results; None if nothing overlaps.
    """
    by_image = defaultdict(list)
    for position, result in enumerate(results):
        by_image[result["image_id"]].append(position)
    matches: list[dict | None] = [None] * len(results)
    for image_id, positions in by_image.items():
        annotations = truth.loadAnns(truth.getAnnIds(imgIds=[image_id], iscrowd=False))
        if not annotations:
            continue
        overlaps = coco_mask.iou(
            [results[position]["segmentation"] for position in positions],
            [truth.annToRLE(annotation) for annotation in annotations],
            [0] * len(annotations),
        )
        best = overlaps.argmax(1)
        for row, position in enumerate(positions):
            if overlaps[row, best[row]] > 0:
                matches[position] = annotations[best[row]]
    return matches


def swap(
    truth: COCO, results: Sequence[dict], matches: Sequence[dict | None], parts: Collection[str]
) -> list[dict]:
    """Returns results with the parts replaced by those of their matches.

    Args:
        truth: The annotations.
        results: COCO results.
        matches: Result of :func:`match_ground_truth`; a result without a match does not change.
        parts: "mask", "class", or both.
    """
    swapped = []
    for result, match in zip(results, matches, strict=True):
        # A box next to the mask would decide the areas that AP of small and large objects goes by.
        result = {key: value for key, value in result.items() if key != "bbox"}
        if match is not None and "mask" in parts:
            result["segmentation"] = truth.annToRLE(match)
        if match is not None and "class" in parts:
            result["category_id"] = match["category_id"]
        swapped.append(result)
    return swapped


def measure(truth: COCO, results: Sequence[dict]) -> dict[str, float]:
    """Measures COCO's mask AP of results without boxes, in percent; NaN if undefined."""
    statistics = coco_statistics(truth, results, "segm")
    return dict(zip(METRICS, statistics, strict=False))


def format_table(rows: dict[str, dict]) -> str:
    """Formats the rows of :func:`analyze_errors`."""
    width = max(len(name) for name in rows)
    lines = [" " * width + "".join(f"{metric:>7}" for metric in METRICS)]
    for name, values in rows.items():
        lines.append(f"{name:<{width}}" + "".join(f"{values[metric]:7.1f}" for metric in METRICS))
    return "\n".join(lines)


def read_pair(json_file: str | os.PathLike, results_file: str | os.PathLike) -> tuple[COCO, list[dict]]:
    """Reads annotations and results with masks, which must belong together.

    Args:
        json_file: COCO instance annotations.
        results_file: COCO results with masks, as evaluation writes them
            (``OUTPUT_DIR/inference/coco_instances_results.json``).

    Raises:
        InputError: A file is missing or is not what it should be, or the two do not belong together.
    """
    truth = _read_truth(json_file)
    return truth, _read_results(results_file, truth)


def _read_truth(json_file: str | os.PathLike) -> COCO:
    content = read_json(json_file, "annotation file")
    sections = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in sections):
        raise InputError(f"{json_file} is not a COCO annotation file: it needs {', '.join(sections)}")
    return index_truth(content, json_file)


def _read_results(results_file: str | os.PathLike, truth: COCO) -> list[dict]:
    results = read_json(results_file, "results file")
    if not isinstance(results, list) or not results:
        raise InputError(f"{results_file} holds no list of COCO results")
    needed = ("image_id", "category_id", "score", "segmentation")
    if not all(isinstance(result, dict) and all(key in result for key in needed) for result in results):
        raise InputError(
            f"{results_file}: every result needs {', '.join(needed)}; boxes alone are not analyzed"
        )
    unknown = {result["image_id"] for result in results} - set(truth.imgs)
    if unknown:
        raise InputError(
            f"{results_file} has results for image {min(unknown, key=str)}, missing in the annotation file: "
            "give the file the model was evaluated with"
        )
    check_masks(results, truth.dataset["images"], results_file)
    return results
