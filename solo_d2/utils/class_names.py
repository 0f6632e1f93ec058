"""Differences between two lists of class names, as text for messages."""

from collections.abc import Sequence

_SHOWN = 5


def describe_difference(one: Sequence[str], other: Sequence[str], titles: tuple[str, str]) -> str:
    """Says how two lists of classes differ; "" if they are equal.

    Args:
        one: Names in the order of the classes.
        other: Names to compare with, likewise.
        titles: What has the lists, such as ("the model", "val.json").
    """
    missing = [
        f"{has} has {list_names(extra)}, which {lacks} lacks"
        for has, lacks, extra in (
            (titles[0], titles[1], [name for name in one if name not in set(other)]),
            (titles[1], titles[0], [name for name in other if name not in set(one)]),
        )
        if extra
    ]
    if missing or list(one) == list(other):
        return "; ".join(missing)
    if len(one) != len(other):
        return f"{titles[0]} has {len(one)} classes and {titles[1]} {len(other)}, some of the same name"
    place = next(i for i, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1])
    return f"class {place} is {one[place]!r} in {titles[0]} and {other[place]!r} in {titles[1]}"


def list_names(names: Sequence[str]) -> str:
    """Lists the first names in quotes, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(repr(name) for name in names[:_SHOWN]) + more
