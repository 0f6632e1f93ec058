"""The one gate for addresses from outside, such as a config's or a command line's ``http://...``."""

import re
from urllib.parse import unquote

from detectron2.utils.file_io import PathManager

from .errors import InputError

WEB = ("http://", "https://")
_SEPARATORS = re.compile(r"[/\\?#&=;]")
_ENCODINGS = 3  # "%252e" is "." encoded twice


def is_address(path: str) -> bool:
    """Tells an address, such as ``https://...`` or ``detectron2://...``, from the path of a file."""
    return "://" in path


def refuse_unsafe_address(address: str) -> None:
    """Checks that a download stays in its cache folder; paths of files pass.

    Handlers name the cached file after the address, so ``..`` in it would leave the folder.

    Raises:
        InputError: The address has ``..``, also in an encoded form, or control characters.
    """
    if not is_address(address):
        return
    text = address
    for _ in range(_ENCODINGS):
        if not text.isprintable():
            raise InputError(f"{address!a}: an address must not have control characters: correct it")
        if ".." in (part.strip() for part in _SEPARATORS.split(text)):
            raise InputError(f"{address}: an address must not have '..': give the file's full address")
        text = unquote(text)


def fetch_address(address: str, max_bytes: int | None = None) -> str:
    """Returns the path of the local copy of an address that Detectron2's PathManager knows.

    Args:
        address: The address.
        max_bytes: Greatest size of a file from the web; None for any.

    Raises:
        InputError: The address is unsafe, see :func:`refuse_unsafe_address`, or the file is too large.
    """
    refuse_unsafe_address(address)
    limit = {"max_bytes": max_bytes} if max_bytes and address.startswith(WEB) else {}
    return PathManager.get_local_path(address, **limit)
