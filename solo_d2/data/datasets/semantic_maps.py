"""Makes Panoptic-FPN's semantic maps from panoptic PNG files: 0 things, 1 and up stuff, 255 void."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from solo_d2.utils.atomic_file import write_bytes
from solo_d2.utils.errors import InputError
from solo_d2.utils.image_file import encode_png
from solo_d2.utils.output_paths import path_below, refuse_repeated
from solo_d2.utils.panoptic_png import read_ids, segment_indices
from solo_d2.utils.parallel import map_in_processes

from .coco_cleaning import Findings
from .panoptic_checks import read_panoptic_json
from .panoptic_cleaning import clean_panoptic_categories, clean_segments, is_annotation
from .panoptic_format import IGNORE_LABEL, panoptic_classes
from .spellings import Ids


def semantic_map(ids: np.ndarray, labels: Mapping[int, int]) -> np.ndarray:
    """Labels pixels by their segments.

    Args:
        ids: (H, W) segment ids.
        labels: Segment id to label, 0 to 254.

    Returns:
        (H, W) uint8 labels, 255 outside the listed segments.
    """
    by_place = np.array([IGNORE_LABEL, *labels.values()], np.uint8)
    return by_place[segment_indices(ids, list(labels))]


def semantic_labels(categories: Sequence[Mapping]) -> dict[int, int]:
    """Returns the label of every category id: 0 for things, 1 and up for stuff in the order of the ids."""
    classes = panoptic_classes(categories)
    stuff = classes["stuff_dataset_id_to_contiguous_id"]
    return {c["id"]: 0 if c["isthing"] else stuff[c["id"]] for c in categories}


def write_semantic_maps(
    json_file: str | os.PathLike,
    panoptic_root: str | os.PathLike,
    output: str | os.PathLike,
    workers: int | None = None,
) -> int:
    """Writes one PNG of labels per annotation, named like its panoptic PNG.

    Args:
        json_file: COCO panoptic annotations.
        panoptic_root: Folder of their PNG files.
        output: Folder to fill.
        workers: Number of processes; by default one per core.

    Returns:
        The number of written maps.

    Raises:
        InputError: If an annotation file or PNG is missing or unusable, there are too many stuff classes, or
            a file name leaves its folder or is used twice.
    """
    content = read_panoptic_json(json_file)
    labels = semantic_labels(clean_panoptic_categories(content["categories"], Findings()))
    if max(labels.values(), default=0) >= IGNORE_LABEL:
        raise InputError(
            f"{json_file} has more than {IGNORE_LABEL - 1} stuff classes: labels are 8 bits wide"
        )
    if Path(output).resolve() == Path(panoptic_root).resolve():
        raise InputError(f"{output} holds the panoptic PNG files: name another folder for the semantic maps")
    for annotation in content["annotations"]:
        if not is_annotation(annotation):
            raise InputError(
                f"{json_file} has an annotation without the file name of its PNG or segments_info"
            )
        path_below(output, annotation["file_name"])
    refuse_repeated(annotation["file_name"] for annotation in content["annotations"])
    write = partial(_write_map, labels=labels, panoptic_root=Path(panoptic_root), output=Path(output))
    return sum(map_in_processes(write, content["annotations"], workers))


def _write_map(annotation: Mapping, labels: Mapping[int, int], panoptic_root: Path, output: Path) -> int:
    name = annotation["file_name"]
    findings = Findings()
    segments = clean_segments(annotation, Ids(labels), findings)
    for reason, places in findings.skipped:
        raise InputError(f"{reason}: {places[0]}; solo-d2 data check-panoptic lists all problems")
    of_segment = {segment["id"]: labels[segment["category_id"]] for segment in segments}
    labels_of_pixels = semantic_map(read_ids(panoptic_root / name), of_segment)
    write_bytes(output / name, encode_png(labels_of_pixels), sync=False)
    return 1
