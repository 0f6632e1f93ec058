"""Types of flags that are numbers: argparse names a wrong one, in the same words for all commands."""

from argparse import ArgumentTypeError
from collections.abc import Callable


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Returns argparse's type of whole numbers from ``least``, up to ``most`` if that is given."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ArgumentTypeError(f"{text!r} is not a whole number") from None
        if most is not None and not least <= number <= most:
            raise ArgumentTypeError(f"{number}: it must be {least} to {most}")
        if number < least:
            raise ArgumentTypeError(f"{number}: it must be at least {least}")
        return number

    return read


def real(least: float, most: float) -> Callable[[str], float]:
    """Returns argparse's type of numbers from ``least`` to ``most``; NaN is none."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            raise ArgumentTypeError(f"{text!r} is not a number") from None
        if not least <= number <= most:
            raise ArgumentTypeError(f"{number}: it must be {least:g} to {most:g}")
        return number

    return read


share = real(0, 1)
"""argparse's type of scores and fractions."""
