"""Parts of a COCO annotation set for experiments with few labels (FreeSOLO, tables 6.5 and 6.6).

The choice depends only on the seed and the ids, not on the order of the file or the machine. A smaller part
is a subset of a larger one with the same seed.
"""

import hashlib
from collections.abc import Iterable
from itertools import pairwise

from solo_d2.utils.errors import InputError
from solo_d2.utils.json_values import is_box


def split_by_images(content: dict, fraction: float, seed: int) -> dict:
    """Keeps a fraction of the images with all their annotations.

    Args:
        content: A COCO annotation set; not changed.
        fraction: In (0, 1]; at least one image is kept.
        seed: Seed of the choice.

    Returns:
        The part, with categories and everything else unchanged.

    Raises:
        InputError: If nothing can be chosen, or a record is invalid.
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

    The other annotations get their box as mask, and "mask_withheld": 1, which keeps losses from learning it.
    Nothing of the mask remains. Crowds do not change.

    Args:
        content: As in :func:`split_by_images`.
        fraction: Fraction of the annotations that are not crowds.
        seed: Seed of the choice.

    Returns:
        The set with these masks only.

    Raises:
        InputError: If nothing can be chosen, or a record is invalid.
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
        InputError: If the fraction is not in (0, 1], there are no ids, or an id occurs twice.
    """
    if not 0 < fraction <= 1:
        raise InputError(f"a fraction must be above 0 and at most 1, not {fraction}; 5% is 0.05")
    ranked = sorted(ids, key=lambda number: _rank(number, seed))
    if not ranked:
        raise InputError("there is nothing to choose from: no image, or no annotation that is not a crowd")
    twice = [one for one, other in pairwise(ranked) if one == other]
    if twice:
        raise InputError(f"id {twice[0]} is used more than once: renumber the records")
    return set(ranked[: max(round(fraction * len(ranked)), 1)])


def _rank(number: int | str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{number}".encode("utf-8", "surrogatepass")).digest()


def _require(records: list, kind: str, keys: tuple[str, ...]) -> None:
    for position, record in enumerate(records):
        for key in keys:
            value = record.get(key) if isinstance(record, dict) else None
            if value is None:
                raise InputError(f"{kind} #{position} has no {key}: a split needs it")
            if not (is_box(value) if key == "bbox" else isinstance(value, int | str)):
                wanted = "four numbers" if key == "bbox" else "a number or a name"
                raise InputError(f"{kind} #{position} has {key} {value!r}: it must be {wanted}")


def _withhold(annotation: dict) -> dict:
    x, y, w, h = annotation["bbox"]
    rectangle = [x, y, x + w, y, x + w, y + h, x, y + h]
    return {**annotation, "segmentation": [rectangle], "area": w * h, "mask_withheld": 1}
