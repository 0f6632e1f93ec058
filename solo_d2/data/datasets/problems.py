"""Problems of an annotation set: each kind with a count and the first places."""

from collections.abc import Iterator

from solo_d2.utils.errors import printable

_EXAMPLES = 3
_LONGEST_PLACE = 200  # characters


class Problems:
    """Problems grouped by kind, in order of first occurrence; true if there are any."""

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._places)

    def __contains__(self, kind: str) -> bool:
        return kind in self._places

    def __iter__(self) -> Iterator[tuple[str, list[str]]]:
        """Yields each kind with its places."""
        yield from self._places.items()

    def add(self, kind: str, place: str) -> None:
        """Adds one problem.

        Args:
            kind: Description of the problem, the same for all cases of its kind.
            place: The affected record or file.
        """
        if len(place) > _LONGEST_PLACE:
            place = f"{place[:_LONGEST_PLACE]}..."
        self._places.setdefault(kind, []).append(printable(place))

    def lines(self) -> list[str]:
        """Returns a line per kind, such as "4 x empty mask (annotation 3, annotation 7, ...)"."""
        return [f"{len(places)} x {kind} ({shorten(places)})" for kind, places in self]


def shorten(places: list[str]) -> str:
    """Returns the first places as text."""
    return ", ".join(places[:_EXAMPLES]) + (", ..." if len(places) > _EXAMPLES else "")
