"""Ids and classes of an annotation set as training and evaluation compute with them, and the way back."""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from solo_d2.utils.class_names import describe_difference, list_names
from solo_d2.utils.errors import InputError
from solo_d2.utils.json_values import is_whole

logger = logging.getLogger(__name__)

# Ids that files have, by those that records have: {"image_id": {1: "a", ...}, "category_id": {1: 7, ...}}.
# None stands for a class of the model that the file lacks.
OriginalIds = dict[str, dict[int, Any]]
_NAME_WITH_ID = re.compile(r"(.*) \(-?\d+\)", re.DOTALL)


def renumber(
    content: dict, source: str | os.PathLike, classes: Sequence[str] | None = None
) -> tuple[dict, OriginalIds]:
    """Renumbers images whose ids evaluation cannot compute with, and matches classes by name.

    Args:
        content: A cleaned COCO annotation set; not changed.
        source: Where it came from, for messages.
        classes: The classes that a model is trained with, in its order; the set's categories become these, as
            :func:`match_by_name` says.

    Returns:
        The set, and the original ids of what was renumbered: images, categories, both or neither; evaluators
        put them into results files.
        Renumbered images and categories have the key "original_id".

    Raises:
        InputError: The set has other classes.
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
    categories = content["categories"]
    if classes is not None and match_by_name([c["name"] for c in categories], classes, source):
        content, originals["category_id"] = _match_classes(content, classes)
    elif not all(_is_plain(category["id"]) for category in categories):
        originals["category_id"] = dict(enumerate((category["id"] for category in categories), start=1))
        content = _with_ids(content, "categories", "category_id", originals["category_id"])
    elif any("original_id" in category for category in categories):
        originals["category_id"] = {category["id"]: original_id(category) for category in categories}
    return content, originals


def original_id(category: Mapping) -> int | str:
    """Returns a cleaned category's id as its file has it."""
    return category.get("original_id", category["id"])


def _is_plain(number: object) -> bool:
    return is_whole(number) and number >= 0


def match_by_name(names: Sequence[str], classes: Sequence[str], source: str | os.PathLike) -> bool:
    """Compares a set's class names with a model's, and logs what the difference means for evaluation.

    The set may have another order, only some of the classes, or all of them and more, which do not count.

    Args:
        names: Of the set, in its order.
        classes: Of the model.
        source: Where the set came from, for messages.

    Returns:
        Whether its classes are to be renumbered.

    Raises:
        InputError: Both have names that the other lacks, or a repeated name makes the match ambiguous.
    """
    if list(names) == list(classes):
        return False
    own, known = set(names), set(classes)
    # A name that stands for two classes of the model, the second of which has its id behind it.
    twins = {found[1] for name in known - own if (found := _NAME_WITH_ID.fullmatch(name))} & known
    repeated = len(own) < len(names) or len(known) < len(classes) or bool(twins & own)
    if repeated or not (own <= known or known <= own):
        difference = describe_difference(classes, names, ("the model", os.path.basename(source)))
        raise InputError(
            f"{source} and the model have different classes: {difference}; correct the names in the file, "
            "or leave classes out with TEST.CLASS_AGNOSTIC True"
        )
    notes = ["its classes are matched by name"]
    if lacking := [name for name in classes if name not in own]:
        notes.append(
            f"{len(own)} of the model's {len(classes)} classes are evaluated, without {list_names(lacking)}"
        )
    if unknown := [name for name in names if name not in known]:
        notes.append(
            f"annotations of classes that the model does not know are left out: {list_names(unknown)}"
        )
    logger.warning("%s: %s; result files have its own category ids", source, "; ".join(notes))
    return True


def _match_classes(content: dict, classes: Sequence[str]) -> tuple[dict, dict[int, Any]]:
    """Gives a set the categories 1, 2, ... of ``classes``; original ids of those that it lacks are None."""
    by_name = {category["name"]: category for category in content["categories"]}
    originals = {
        number: original_id(by_name[name]) if name in by_name else None
        for number, name in enumerate(classes, start=1)
    }
    numbers = {by_name[name]["id"]: place for place, name in enumerate(classes, start=1) if name in by_name}
    categories = [
        {**by_name.get(name, {"name": name}), "id": number, "original_id": originals[number]}
        for number, name in enumerate(classes, start=1)
    ]
    content = {**content, "categories": categories}
    if "annotations" in content:
        content["annotations"] = [
            {**one, "category_id": numbers[one["category_id"]]}
            for one in content["annotations"]
            if one["category_id"] in numbers
        ]
    return content, originals


def _with_ids(content: dict, section: str, key: str, originals: Mapping[int, Any]) -> dict:
    """Numbers a section's records as ``originals`` does, and the annotations' references to them."""
    own = {original: number for number, original in originals.items()}
    changed = {section: [{**one, "id": own[one["id"]], "original_id": one["id"]} for one in content[section]]}
    if "annotations" in content:
        changed["annotations"] = [{**one, key: own[one[key]]} for one in content["annotations"]]
    return {**content, **changed}
