"""Ids and classes of an annotation set as training and evaluation compute with them, and the way back."""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from solo_d2.utils.json_values import is_whole

logger = logging.getLogger(__name__)

# Ids that files have, by those that records have: {"image_id": {1: "a", ...}, "category_id": {1: 7, ...}}.
OriginalIds = dict[str, dict[int, Any]]


def renumber(
    content: dict, source: str | os.PathLike, classes: Sequence[str] | None = None
) -> tuple[dict, OriginalIds]:
    """Renumbers images whose ids evaluation cannot compute with, and matches classes by name.

    Args:
        content: A cleaned COCO annotation set; not changed.
        source: Where it came from, for messages.
        classes: The classes that a model is trained with, in its order. Where the set's names are among them,
            its categories become these; otherwise they stay.

    Returns:
        The set, and the original ids of what was renumbered: images, categories, both or neither; evaluators
        put them into results files.
        Renumbered images and categories have the key "original_id".
    """
    originals: OriginalIds = {}
    if not all(_is_plain(image["id"]) for image in content["images"]):
        originals["image_id"] = dict(enumerate((image["id"] for image in content["images"]), start=1))
        logger.warning(
            "%s: image ids that are text, negative or too large are renumbered inside; result files have "
            "the original ones",
            source,
        )
        content = _with_ids(content, "images", "image_id", originals["image_id"])
    names = [category["name"] for category in content["categories"]]
    if classes is not None and names != list(classes) and set(names) <= set(classes):
        content, originals["category_id"] = _match_classes(content, classes)
        logger.warning(
            "%s: its classes are in another order than those of training, or some are missing; they are "
            "matched by name, and result files have its own category ids",
            source,
        )
    return content, originals


def _is_plain(number: object) -> bool:
    return is_whole(number) and number >= 0


def _match_classes(content: dict, classes: Sequence[str]) -> tuple[dict, dict[int, int]]:
    """Gives a set the categories 1, 2, ... of ``classes``; those it lacks get original ids that are free."""
    known = {category["name"]: category for category in content["categories"]}
    free = max(category["id"] for category in content["categories"]) + 1
    lacking = [name for name in classes if name not in known]
    added = [{"id": free + place, "name": name} for place, name in enumerate(lacking)]
    known |= {category["name"]: category for category in added}
    content = {**content, "categories": [known[name] for name in classes]}
    originals = dict(enumerate((category["id"] for category in content["categories"]), start=1))
    return _with_ids(content, "categories", "category_id", originals), originals


def _with_ids(content: dict, section: str, key: str, originals: Mapping[int, Any]) -> dict:
    """Numbers a section's records as ``originals`` does, and the annotations' references to them."""
    own = {original: number for number, original in originals.items()}
    changed = {section: [{**one, "id": own[one["id"]], "original_id": one["id"]} for one in content[section]]}
    if "annotations" in content:
        changed["annotations"] = [{**one, key: own[one[key]]} for one in content["annotations"]]
    return {**content, **changed}
