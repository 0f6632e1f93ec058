"""Spellings of ids and file names that annotation tools write next to COCO's own."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from solo_d2.data.image_paths import with_slashes
from solo_d2.utils.json_values import is_id, whole_number

from .problems import Problems

BACKSLASHES = "file name with backslashes"
SPELLED_ID = "id written as text or as a decimal number"

Id = int | str


class Ids:
    """Finds the id that a reference means: the same one, or the only one that is the same number."""

    def __init__(self, known: Iterable[Id]):
        self._known = set(known)
        numbers = {one: whole_number(one) for one in self._known}
        count = Counter(numbers.values())
        self._by_number = {number: one for one, number in numbers.items() if count[number] == 1}

    def find(self, value: object) -> Id | None:
        """Returns an id; None if none is meant."""
        if is_id(value) and value in self._known:
            return value
        return self._by_number.get(whole_number(value)) if is_id(value) or isinstance(value, float) else None


def _without_original_id(category: object) -> object:
    if not isinstance(category, dict):
        return category
    return {key: value for key, value in category.items() if key != "original_id"}


def plain_category_ids(records: list, fixed: Problems) -> list:
    """Returns categories with whole numbers as ids if all ids are such numbers as text, or all as decimals.

    A single odd id among whole numbers stays, and its category is not used: tools mark a background so. Text
    stays as "original_id", a key that records of earlier cleaned copies lose.
    """
    records = [_without_original_id(record) for record in records]
    ids = [record.get("id") if isinstance(record, dict) else None for record in records]
    numbers = [whole_number(one) for one in ids]
    same_kind = len({type(one) for one in ids}) == 1
    if not same_kind or isinstance(ids[0], int) or not all(isinstance(one, int) for one in numbers):
        return records
    for one in ids:
        fixed.add(SPELLED_ID, f"category {one}")
    spelled = [{"original_id": one} if isinstance(one, str) else {} for one in ids]
    return [
        {**record, "id": number, **original}
        for record, number, original in zip(records, numbers, spelled, strict=True)
    ]


def plain_image(record: object, root: Path, fixed: Problems) -> object:
    """Returns an image's record with slashes in its file name, and a decimal id as a whole number."""
    if not isinstance(record, dict):
        return record
    changes: dict[str, object] = {}
    name = record.get("file_name")
    if isinstance(name, str) and with_slashes(name, root) != name:
        changes["file_name"] = with_slashes(name, root)
        fixed.add(BACKSLASHES, name)
    number = record.get("id")
    if isinstance(number, float) and isinstance(whole_number(number), int):
        changes["id"] = whole_number(number)
        fixed.add(SPELLED_ID, f"image {number}")
    return {**record, **changes} if changes else record


def plain_references(record: dict, ids: Mapping[str, Ids], label: str, fixed: Problems) -> dict:
    """Returns an annotation whose references are the ids that they mean, where such ids exist."""
    changes = {}
    for key, known in ids.items():
        given = record.get(key)
        meant = known.find(given)
        if meant is not None and (meant != given or type(meant) is not type(given)):
            changes[key] = meant
    if changes:
        fixed.add(SPELLED_ID, label)
    return {**record, **changes} if changes else record
