"""Kinds of values in JSON files of annotations; booleans are no numbers."""

import math
from typing import TypeGuard

# Larger integers are not exact as floats, with which evaluation computes.
LARGEST_NUMBER = 2.0**53
_MOST_DIGITS = 15


def is_number(value: object) -> TypeGuard[float]:
    """Returns True if a JSON value is a number that a float holds exactly; booleans are not numbers."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return -LARGEST_NUMBER <= value <= LARGEST_NUMBER  # false for NaN


def are_numbers(values: list) -> bool:
    """Returns True if all values of a JSON list are numbers as of :func:`is_number`, in little time."""
    if not set(map(type, values)) <= {int, float}:
        return all(map(is_number, values))
    if not values:
        return True
    bounded = -LARGEST_NUMBER <= min(values) and max(values) <= LARGEST_NUMBER
    return bounded and not math.isnan(sum(values))


def is_whole(value: object) -> TypeGuard[int]:
    """Returns True if a JSON value is a whole number that a float holds exactly."""
    return isinstance(value, int) and is_number(value)


def is_id(value: object) -> TypeGuard[int | str]:
    """Returns True if a JSON value can be an image's id: a whole number of any size, or text."""
    return isinstance(value, int | str) and not isinstance(value, bool)


def whole_number(value: object) -> object:
    """Returns 7 for 7, 7.0, "7" and "007"; any other value as it is."""
    if isinstance(value, float) and is_number(value) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.isdecimal() and value.isascii() and len(value) <= _MOST_DIGITS:
        return int(value)
    return value


def is_box(value: object) -> TypeGuard[list[float]]:
    """Returns True if a JSON value is four numbers."""
    return isinstance(value, list) and len(value) == 4 and all(map(is_number, value))
