"""Compares the content and the settings of files."""

import json
import os
from collections.abc import Mapping

from solo_d2.config.loading import flatten
from solo_d2.utils.errors import InputError
from solo_d2.utils.hashing import hash_file, hash_value
from solo_d2.utils.json_file import read_json

_MAX_SHOWN = 3


def read_object(path: str | os.PathLike) -> dict | None:
    """Returns a JSON object; None if the file is missing or damaged."""
    try:
        content = read_json(path, "file")
    except InputError:
        return None
    return content if isinstance(content, dict) else None


def digest_of_file(path: str | os.PathLike) -> str:
    """Returns the SHA-256 of a file's bytes, or of the address if it is not a local file."""
    return hash_file(path) if os.path.isfile(path) else hash_value(str(path))


def flat_json(node: Mapping, prefix: str = "") -> dict[str, object]:
    """Returns a config's values by dotted name, as JSON has them: tuples become lists."""
    return json.loads(json.dumps(flatten(node, prefix)))


def describe_changes(before: Mapping[str, object], now: Mapping[str, object]) -> str:
    """Describes the differences between two sets of settings briefly; "" if they are equal."""
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    shown = [f"{name} was {before.get(name)}, is {now.get(name)}" for name in sorted(changed)[:_MAX_SHOWN]]
    if len(changed) > _MAX_SHOWN:
        shown.append(f"and {len(changed) - _MAX_SHOWN} more")
    return "; ".join(shown)
