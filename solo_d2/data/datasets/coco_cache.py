"""Results of checking large annotation files, kept for a node's other processes and for later runs.

A result counts only for the same bytes of the annotation file, unchanged image files, the same settings, and
the same version of this package.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from solo_d2.utils.atomic_file import write_bytes
from solo_d2.utils.errors import InputError
from solo_d2.utils.file_lock import lock_file
from solo_d2.utils.hashing import hash_bytes, hash_file, hash_value
from solo_d2.utils.version import __version__

from .coco_cleaning import Findings
from .problems import Problems
from .spellings import BACKSLASHES

logger = logging.getLogger(__name__)

# Smaller annotation files, in bytes, are checked at once.
SMALLEST_CACHED = 1 << 20
_PATIENCE = 3600.0  # seconds to wait for another process that checks the same file
_DIGEST = 64  # characters

Checked = tuple[dict, Findings]


def check_once(
    json_file: str | os.PathLike,
    image_root: str | os.PathLike,
    settings: list,
    cache_file: Path,
    check: Callable[[], Checked],
) -> Checked:
    """Returns a stored result of ``check``, or calls it and stores its result.

    Processes that need the same file wait for the first of them, which does the work. Nothing is stored where
    the folder cannot be written, or if an image was skipped or renamed: it may be there the next time.

    Args:
        json_file: The annotation file.
        image_root: Folder that the file names in it are relative to.
        settings: What else ``check`` depends on, of JSON's types.
        cache_file: Where results are stored.
        check: Returns the cleaned content and the findings, or raises an error, which is not stored.
    """
    if not os.path.isfile(json_file) or os.path.getsize(json_file) < SMALLEST_CACHED:
        return check()
    key = hash_value([__version__, hash_file(json_file), os.path.abspath(image_root), settings])
    found = _read(cache_file, key, image_root)
    if found is not None:
        return found
    with _turn(cache_file):
        found = _read(cache_file, key, image_root)
        if found is None:
            found = check()
            _write(cache_file, key, image_root, *found)
    return found


@contextmanager
def _turn(cache_file: Path) -> Iterator[None]:
    """Waits until no other process works on the file; does not wait where that cannot be known."""
    try:
        cache_file.parent.mkdir(parents=True, exist_ok=True)
        lock = open(cache_file.with_suffix(".lock"), "w")  # noqa: SIM115  (closed below)
    except OSError:
        yield
        return
    with lock:
        lock_file(lock, patience=_PATIENCE)
        yield


def _read(cache_file: Path, key: str, image_root: str | os.PathLike) -> Checked | None:
    """Returns the stored result; None if there is none for this key, or an image file has changed."""
    try:
        stored = cache_file.read_bytes()
    except OSError:
        return None
    head, payload = stored[: 2 * _DIGEST], stored[2 * _DIGEST :]
    if head[:_DIGEST] != key.encode() or head[_DIGEST:] != hash_bytes(payload).encode():
        return None
    content, stamps, skipped, fixed = json.loads(payload)
    if stamps != _stamps(content, image_root):
        return None
    logger.info("%s holds the result of an earlier check of the same annotations", cache_file)
    return content, Findings(_problems(skipped), _problems(fixed))


def _write(
    cache_file: Path, key: str, image_root: str | os.PathLike, content: dict, findings: Findings
) -> None:
    if BACKSLASHES in findings.fixed or any(kind.startswith("image ") for kind, _ in findings.skipped):
        return
    stamps = _stamps(content, image_root)
    payload = json.dumps([content, stamps, dict(findings.skipped), dict(findings.fixed)]).encode()
    try:
        write_bytes(cache_file, f"{key}{hash_bytes(payload)}".encode() + payload, sync=False)
    except InputError as error:
        logger.info("the check of the annotations is not kept: %s", error)


def _stamps(content: Mapping, image_root: str | os.PathLike) -> list[int]:
    """Returns size and time of change of all image files; -1 for a file that is gone."""
    stamps: list[int] = []
    for image in content["images"]:
        try:
            status = os.stat(os.path.join(image_root, image["file_name"]))
            stamps += (status.st_size, status.st_mtime_ns)
        except OSError:
            stamps.append(-1)
    return stamps


def _problems(places: Mapping[str, list[str]]) -> Problems:
    problems = Problems()
    for kind, found in places.items():
        for place in found:
            problems.add(kind, place)
    return problems
