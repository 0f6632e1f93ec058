"""Results on disk: overlay pictures and a COCO results file, whole or not at all."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.structures import Instances
from solo_d2.utils.atomic_file import atomic_write, write_text


def coco_rows(
    instances: Instances, image_id: int, file_name: str, category_ids: Mapping[int, int]
) -> list[dict]:
    """One COCO results row per instance.

    Args:
        instances: results of one picture, on the CPU.
        image_id: the picture's COCO id.
        file_name: the picture's name, kept beside the id in every row.
        category_ids: from contiguous class index to the data set's category id; an index that is
            missing keeps its number plus one, as COCO counts from one.

    Returns:
        Rows of image_id, file_name, category_id, segmentation (compressed RLE), bbox (x, y, width,
        height in pixels) and score.
    """
    rows = instances_to_coco_json(instances, image_id)
    for row in rows:
        row["file_name"] = file_name
        row["category_id"] = category_ids.get(row["category_id"], row["category_id"] + 1)
        row["bbox"] = [round(value, 2) for value in row["bbox"]]
    return rows


def category_ids(metadata) -> dict[int, int]:
    """Contiguous class index to data set category id, as far as the metadata knows."""
    from_dataset = metadata.get("thing_dataset_id_to_contiguous_id", {})
    return {index: category for category, index in from_dataset.items()}


def save_picture(picture: np.ndarray, path: Path) -> None:
    """Writes an RGB uint8 picture (H, W, 3) in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = path.suffix.lower()
    with atomic_write(path) as temporary:
        Image.fromarray(picture).save(
            temporary, format=Image.registered_extensions()[suffix], **_save_options(suffix)
        )


def _save_options(suffix: str) -> dict:
    return {"quality": 95} if suffix in (".jpg", ".jpeg", ".webp") else {}


def save_json(rows: Sequence[dict], path: Path) -> None:
    """Writes COCO results."""
    write_text(path, [json.dumps(list(rows))])
