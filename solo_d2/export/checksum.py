"""The checksum that an exported file has in it: the SHA-256 of its bytes with 64 zeros in its place."""

import hashlib
import re

from solo_d2.utils.errors import InputError

EMPTY_CHECKSUM = "0" * 64


def fill_in(content: bytes, place: re.Pattern, weights: bytes = b"") -> bytes:
    """Replaces a file's empty checksum by the one of its bytes.

    Args:
        content: The file.
        place: Finds the checksum, its first group.
        weights: A second file that belongs to it.
    """
    found = place.search(content)
    assert found and found[1] == EMPTY_CHECKSUM.encode(), "the model has an empty checksum"
    return content[: found.start(1)] + _digest(content, found, weights) + content[found.end(1) :]


def check(content: bytes, place: re.Pattern, source: str, weights: bytes = b"") -> None:
    """Checks that a file's bytes are those that were written; see :func:`fill_in`.

    Raises:
        InputError: It is no model that this project exported, or damaged.
    """
    found = place.search(content)
    if found is None:
        raise InputError(f"{source} is not a model that solo-d2 export has written, or it is damaged")
    if _digest(content, found, weights) != found[1]:
        raise InputError(f"{source} is damaged: its checksum differs; copy or export it again")


def _digest(content: bytes, found: re.Match, weights: bytes) -> bytes:
    digest = hashlib.sha256(content[: found.start(1)] + EMPTY_CHECKSUM.encode() + content[found.end(1) :])
    digest.update(weights)
    return digest.hexdigest().encode()
