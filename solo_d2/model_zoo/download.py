"""Resumable, verified downloads."""

import logging
import os
import re
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

from tqdm import tqdm

from solo_d2.utils.errors import InputError
from solo_d2.utils.file_lock import lock_file
from solo_d2.utils.hashing import hash_file

logger = logging.getLogger(__name__)
_CHUNK = 1 << 20  # bytes
_TIMEOUT = 30  # seconds without a response
_ATTEMPTS = 3  # attempts of a transfer that breaks but makes progress
_PATIENCE = 3600.0  # seconds to wait for another process that fetches the same file


def download(url: str, target: Path, sha256_start: str = "", max_bytes: int | None = None) -> Path:
    """Downloads a file unless it exists; several processes may call this at the same time.

    A partial file stays in ``target`` + ".part"; the next call resumes it if the host still has the same
    file.
    An existing file, such as one copied by hand, must also have the right hash.

    Args:
        url: Address, http or https.
        target: Path of the file; its folder is created.
        sha256_start: Hexadecimal digits that the file's SHA-256 must begin with; "" checks nothing.
        max_bytes: Greatest size of the file; None for any.

    Returns:
        ``target``.

    Raises:
        InputError: If there is no connection, or the file is incomplete, wrong or too large; the message says
            which file to fetch and where to put it.
    """
    if target.is_file():
        return _checked(target, sha256_start, url)
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(f"{target}.lock", "w") as lock:
            # Inherited, because only such a lock also keeps out the threads of one process.
            if not lock_file(lock, inherited=True, patience=_PATIENCE):
                raise InputError(
                    f"{target} is locked, perhaps by another process that fetches it: wait for that one, or "
                    f"fetch {url} by other means and put it there"
                )
            if not target.is_file():
                _fetch(url, part, max_bytes)
                _check(part, sha256_start, url)
                os.replace(part, target)
                _discard(part)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error or type(error).__name__
        raise InputError(
            f"{url} could not be fetched ({reason}). Repeat the command to go on, or fetch it by other "
            f"means and put it at {target}"
        ) from error
    return target


def _fetch(url: str, part: Path, max_bytes: int | None) -> None:
    """Transfers the missing part; retries as long as the file grows."""
    for attempt in range(_ATTEMPTS):
        before = part.stat().st_size if part.is_file() else 0
        try:
            _transfer(url, part, max_bytes)
            return
        except urllib.error.HTTPError:
            raise
        except (OSError, HTTPException):
            grown = part.is_file() and part.stat().st_size > before
            if not grown or attempt == _ATTEMPTS - 1:
                raise


def _transfer(url: str, part: Path, max_bytes: int | None) -> None:
    start = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "solo_d2"})
    version = _version_file(part).read_text() if start and _version_file(part).is_file() else ""
    if start:
        request.add_header("Range", f"bytes={start}-")
    if version:
        request.add_header("If-Range", version)
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if start and error.code == 416:  # the file is complete, or the host now has another file
            complete = error.headers.get("Content-Range") == f"bytes */{start}"
            if complete and _is_version(error, version):
                return
            _discard(part)
            return _transfer(url, part, max_bytes)
        raise
    with response:
        _refuse_page(response.headers.get_content_type() == "text/html", url)
        goes_on = response.status == 206 and _start_of(response) == start
        if start and response.status == 206 and not (goes_on and _is_version(response, version)):
            _discard(part)
            return _transfer(url, part, max_bytes)
        total = _total(response)
        _refuse_size(total or 0, max_bytes, url, part)
        logger.info("%s %s (%s bytes)", "Resuming" if goes_on else "Fetching", url, total or "unknown")
        with open(part, "ab" if goes_on else "wb") as file, _progress_bar(part, total, goes_on) as bar:
            if not goes_on:
                _version_file(part).write_text(_version(response))
            while chunk := response.read(_CHUNK):
                bar.update(file.write(chunk))
                _refuse_size(file.tell(), max_bytes, url, part)
    size = part.stat().st_size
    if total is not None and size != total:
        raise OSError(f"{size} of {total} bytes arrived")


def _progress_bar(part: Path, total: int | None, goes_on: bool) -> tqdm:
    """Returns the bar of a transfer, which is shown on a terminal only."""
    done = part.stat().st_size if goes_on else 0
    return tqdm(desc=part.stem, total=total, initial=done, unit="B", unit_scale=True, disable=None)


def _refuse_size(size: int, max_bytes: int | None, url: str, part: Path) -> None:
    """Raises ``InputError`` for a file of more bytes than are wanted, and removes what has arrived."""
    if max_bytes is not None and size > max_bytes:
        _discard(part)
        raise InputError(f"{url} has more than {max_bytes // 2**20} MiB, the most that is fetched here")


def _version_file(part: Path) -> Path:
    """Returns the path of the file that records the host's version of a partial file."""
    return part.with_name(f"{part.name}.version")


def _version(response) -> str:
    """Returns the identifier of the file's version for If-Range; "" if the host sends none."""
    tag = response.headers.get("ETag", "")
    return response.headers.get("Last-Modified", "") if not tag or tag.startswith("W/") else tag


def _is_version(response, version: str) -> bool:
    """Returns True if a response has that version or one of the two is unknown."""
    return not version or _version(response) in ("", version)


def _discard(part: Path) -> None:
    for path in (part, _version_file(part)):
        path.unlink(missing_ok=True)


def _refuse_page(is_page: bool, url: str) -> None:
    if is_page:
        raise InputError(
            f"{url} gives a web page, not the file, perhaps a login's or an error's: fetch the file in a "
            "browser or from elsewhere"
        )


def _start_of(response) -> int | None:
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _total(response) -> int | None:
    """Returns the whole file's size in bytes; None if the host does not send it."""
    if response.status == 206:
        found = re.search(r"/(\d+)$", response.headers.get("Content-Range", ""))
        return int(found[1]) if found else None
    length = response.headers.get("Content-Length")
    return int(length) if length else None


def _check(part: Path, sha256_start: str, url: str) -> None:
    """Removes a web page or a file with another hash than stated, and raises ``InputError``."""
    with open(part, "rb") as file:
        start = file.read(64)
    try:
        _refuse_page(start.lstrip().startswith(b"<") and b"\0" not in start, url)
        if wrong := _wrong_hash(part, sha256_start):
            raise InputError(
                f"{url} is not the file that was published: {wrong}. It was removed; "
                "fetch it from the publisher"
            )
    except InputError:
        _discard(part)
        raise


def _checked(target: Path, sha256_start: str, url: str) -> Path:
    """Returns an existing file; raises ``InputError`` if its hash is not the stated one."""
    if wrong := _wrong_hash(target, sha256_start):
        raise InputError(
            f"{target} is not the file that was published: {wrong}. Delete it to have {url} fetched, or put "
            "the right file there"
        )
    return target


def _wrong_hash(path: Path, sha256_start: str) -> str:
    """Describes how a file's hash differs from the stated one; "" if equal."""
    digest = hash_file(path) if sha256_start else ""
    if digest.startswith(sha256_start):
        return ""
    return f"its SHA-256 begins with {digest[:8]}, {sha256_start[:8]} is stated"
