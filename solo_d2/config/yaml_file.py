"""Config files: each is read once, with its ``_BASE_``; nothing in it runs code or grows without end."""

import os
from collections.abc import Hashable
from typing import Any

import yaml

from solo_d2.utils.addresses import is_address
from solo_d2.utils.errors import InputError

BASE_KEY = "_BASE_"
_BASES = "_base_"  # folder of the base configs
_MOST_BYTES = 1 << 18
_MOST_ALIASES = 1000
_MOST_VALUES = 50_000
_DEEPEST = 32  # levels of values, and bases of bases


class _Loader(yaml.SafeLoader):
    """YAML's safe loader with limits on what a short file can stand for."""

    aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > _MOST_ALIASES:
                raise yaml.YAMLError(f"more than {_MOST_ALIASES} aliases")
        return super().compose_node(parent, index)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > _MOST_ALIASES:  # each "<<" copies the mapping it names
            raise yaml.YAMLError(f"a mapping of more than {_MOST_ALIASES} keys")


def read_yaml_config(path: str, parents: tuple[str, ...] = ()) -> dict[str, Any]:
    """Reads a config file and the files that its ``_BASE_`` names.

    Args:
        path: A local YAML file.
        parents: The files whose bases lead to this one.

    Returns:
        Nested dictionaries; the file's own values override its bases'.

    Raises:
        InputError: The file or a base is missing, no valid YAML, no mapping, too large or its own base.
    """
    content = _read_mapping(path)
    names = content.pop(BASE_KEY, [])
    merged: dict[str, Any] = {}
    for name in names if isinstance(names, list) else [names]:
        base = _base_file(path, name)
        if os.path.realpath(base) in parents or len(parents) >= _DEEPEST:
            raise InputError(f"{path}: its {BASE_KEY} {base} leads back to itself: remove one of them")
        _merge(merged, read_yaml_config(base, (*parents, os.path.realpath(path))), base)
    _merge(merged, content, path)
    return merged


def _base_file(path: str, name: object) -> str:
    """Returns the path of a base, which is relative to the file that names it."""
    if not isinstance(name, str) or not name:
        raise InputError(f"{path}: its {BASE_KEY} must be the path of a file or a list of paths")
    if is_address(name):
        raise InputError(f"{path}: its {BASE_KEY} {name} is an address: download it and give the file's path")
    base = os.path.join(os.path.dirname(path), os.path.expanduser(name))
    folder, file_name = os.path.split(base)
    moved = os.path.join(folder, _BASES, file_name)  # bases were in configs/ itself before
    if not os.path.isfile(base) and os.path.isfile(moved):
        return moved
    if not os.path.isfile(base):
        hint = "; bases are in configs/_base_ now, see CHANGELOG.md" if file_name.startswith("Base-") else ""
        raise InputError(f"{path}: its {BASE_KEY} {base} does not exist{hint}")
    return base


def _read_mapping(path: str) -> dict[str, Any]:
    if os.path.getsize(path) > _MOST_BYTES:
        raise InputError(f"{path} is no config file: it is larger than {_MOST_BYTES >> 10} KiB")
    try:
        with open(path, "rb") as file:
            content = yaml.load(file, _Loader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: of dates and of very long numbers
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise InputError(f"{path} is nested too deeply for a config file") from error
    if content is None:
        raise InputError(f"config file {path} has no keys: it or its {BASE_KEY} is empty")
    if not isinstance(content, dict):
        raise InputError(f"config file {path} has no keys: it is empty or not a mapping")
    _refuse_endless(content, path)
    return content


def _refuse_endless(content: dict[Hashable, Any], path: str) -> None:
    """Checks that keys are text and that the values, with aliases written out, are not too many."""
    left: list[tuple[Any, int]] = [(content, 0)]
    count = 0
    while left:
        value, depth = left.pop()
        if isinstance(value, dict):
            wrong = next((key for key in value if not isinstance(key, str)), None)
            if wrong is not None:
                raise InputError(f"{path}: config key {wrong!r} is not text: quote it")
            value = value.values()
        count += len(value)
        if depth > _DEEPEST or count > _MOST_VALUES:
            raise InputError(f"{path} is no config file: it is nested without end or has too many values")
        left += [(inner, depth + 1) for inner in value if isinstance(inner, dict | list | tuple | set)]


def _merge(target: dict[str, Any], values: dict[str, Any], source: str) -> None:
    """Overrides values of nested dictionaries in place."""
    for key, value in values.items():
        if not (isinstance(value, dict) and key in target):
            target[key] = value
        elif isinstance(target[key], dict):
            target[key] = {**target[key]}  # an alias may share it
            _merge(target[key], value, source)
        else:
            raise InputError(f"{source}: {key} is a group of keys, but a single value in its {BASE_KEY}")
