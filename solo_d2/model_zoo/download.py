"""Downloads that go on where they broke off, and are checked before they count."""

import hashlib
import logging
import os
import re
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

from iopath.common.file_io import file_lock

from solo_d2.structures.errors import InputError

logger = logging.getLogger(__name__)
_CHUNK = 1 << 20  # bytes
_TIMEOUT = 30  # seconds without an answer
_ATTEMPTS = 3  # of a transfer that breaks off and grows in between


def download(url: str, target: Path, sha256_start: str = "") -> Path:
    """Fetches a file unless it is there; several processes may ask for it at once.

    What arrived stays in ``target`` + ".part", and the next call goes on from there.

    Args:
        url: http or https address.
        target: where the file belongs; its folder is made.
        sha256_start: hexadecimal digits the file's SHA-256 has to begin with; "" checks nothing.

    Returns:
        ``target``.

    Raises:
        InputError: no connection, an incomplete or a wrong file; with what to fetch and where to put it.
    """
    if target.is_file():
        return target
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(str(target)):
            if not target.is_file():
                _fetch(url, part)
                _check(part, sha256_start, url)
                os.replace(part, target)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error or type(error).__name__
        raise InputError(
            f"{url} could not be fetched ({reason}). Repeat the command to go on, or fetch it by other "
            f"means and put it at {target}"
        ) from error
    return target


def _fetch(url: str, part: Path) -> None:
    """Transfers what is missing; goes on by itself while the file grows."""
    for attempt in range(_ATTEMPTS):
        before = part.stat().st_size if part.is_file() else 0
        try:
            _transfer(url, part)
            return
        except urllib.error.HTTPError:
            raise
        except (OSError, HTTPException):
            grown = part.is_file() and part.stat().st_size > before
            if not grown or attempt == _ATTEMPTS - 1:
                raise


def _transfer(url: str, part: Path) -> None:
    start = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "solo_d2"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if start and error.code == 416:  # nothing is left to send, or the file is another one now
            if error.headers.get("Content-Range") == f"bytes */{start}":
                return
            part.unlink()
            return _transfer(url, part)
        raise
    with response:
        goes_on = response.status == 206 and _start_of(response) == start
        total = _total(response)
        logger.info("%s %s (%s bytes)", "Going on with" if goes_on else "Fetching", url, total or "unknown")
        with open(part, "ab" if goes_on else "wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
    size = part.stat().st_size
    if total is not None and size != total:
        raise OSError(f"{size} of {total} bytes arrived")


def _start_of(response) -> int | None:
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _total(response) -> int | None:
    """The whole file's size in bytes; None where the host does not say."""
    if response.status == 206:
        found = re.search(r"/(\d+)$", response.headers.get("Content-Range", ""))
        return int(found[1]) if found else None
    length = response.headers.get("Content-Length")
    return int(length) if length else None


def _check(part: Path, sha256_start: str, url: str) -> None:
    """Raises for, and removes, a file that is not the one its name promises."""
    if not sha256_start:
        return
    digest = _digest(part)
    if digest.startswith(sha256_start):
        return
    part.unlink()
    raise InputError(
        f"{url} is not the file that was published: its SHA-256 begins with {digest[:8]}, its name says "
        f"{sha256_start}. It was removed; fetch it from the publisher"
    )


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
