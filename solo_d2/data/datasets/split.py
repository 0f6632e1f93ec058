"""Parts of a COCO annotation set for experiments with few labels (FreeSOLO, tables 6.5 and 6.6).

What is chosen follows from the seed and the ids alone: neither the order of the file nor the machine matters,
and a smaller part lies within a larger one of the same seed.
"""

import hashlib
from collections.abc import Iterable

from solo_d2.structures.errors import InputError


def split_by_images(content: dict, fraction: float, seed: int) -> dict:
    """Keeps a fraction of the images with all their annotations.

    Args:
        content: A COCO annotation set; not changed.
        fraction: In (0, 1]; at least one image is kept.
        seed: Which ones.

    Returns:
        The part, categories and everything else as they were.

    Raises:
        InputError: If there is no such part.
    """
    _require(content["images"], "image", ("id",))
    _require(content["annotations"], "annotation", ("image_id",))
    chosen = choose((image["id"] for image in content["images"]), fraction, seed)
    return {
        **content,
        "images": [image for image in content["images"] if image["id"] in chosen],
        "annotations": [a for a in content["annotations"] if a["image_id"] in chosen],
    }


def split_by_masks(content: dict, fraction: float, seed: int) -> dict:
    """Keeps all annotations, but only a fraction of their masks.

    The other annotations get their box for a mask, and "mask_withheld": 1, which keeps losses from learning
    it. Nothing of the mask remains. Crowds stay as they are.

    Args:
        content: As in :func:`split_by_images`.
        fraction: Of the annotations that are no crowds.
        seed: Which ones.

    Returns:
        The set with these masks only.

    Raises:
        InputError: If there is no such part.
    """
    _require(content["annotations"], "annotation", ("id", "bbox"))
    objects = (a["id"] for a in content["annotations"] if not a.get("iscrowd", 0))
    chosen = choose(objects, fraction, seed)
    annotations = [
        a if a.get("iscrowd", 0) or a["id"] in chosen else _withhold(a) for a in content["annotations"]
    ]
    return {**content, "annotations": annotations}


def choose(ids: Iterable[int | str], fraction: float, seed: int) -> set[int | str]:
    """Chooses a fraction of ids, rounded, at least one: those with the smallest SHA-256 of seed and id.

    Raises:
        InputError: If the fraction is not in (0, 1], or there are no ids.
    """
    if not 0 < fraction <= 1:
        raise InputError(f"a fraction lies above 0 and is at most 1, not {fraction}; 5% is 0.05")
    ranked = sorted(ids, key=lambda number: hashlib.sha256(f"{seed}:{number}".encode()).digest())
    if not ranked:
        raise InputError("there is nothing to choose from: the annotation file is empty")
    return set(ranked[: max(round(fraction * len(ranked)), 1)])


def _require(records: list[dict], kind: str, keys: tuple[str, ...]) -> None:
    for position, record in enumerate(records):
        missing = [key for key in keys if key not in record]
        if missing:
            raise InputError(f"{kind} #{position} has no {missing[0]}: a split needs it")


def _withhold(annotation: dict) -> dict:
    x, y, w, h = annotation["bbox"]
    rectangle = [x, y, x + w, y, x + w, y + h, x, y + h]
    return {**annotation, "segmentation": [rectangle], "area": w * h, "mask_withheld": 1}
