"""Loads configs from a file, from a config's name, or from a config node."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from detectron2.config import CfgNode
from solo_d2.utils.errors import InputError, suggestion

from . import get_cfg
from .yaml_file import read_yaml_config

# The last two: a text that is read as a number or a list can be nested too deeply.
_MERGE_ERRORS = (KeyError, ValueError, AssertionError, RecursionError, MemoryError)
_PACKAGE = Path(__file__).resolve().parents[1]
# In an installed package, and in a checkout.
_HOMES = (_PACKAGE / "model_zoo" / "configs", _PACKAGE.parent / "configs")
# Of exported files, which hold their config; see solo_d2.export.
_EXPORTED_SUFFIXES = (".onnx", ".xml", ".pt2")


def is_exported(config: object) -> bool:
    """Tells whether a config argument names an exported file."""
    return isinstance(config, str | os.PathLike) and os.fspath(config).endswith(_EXPORTED_SUFFIXES)


def load_config(config: CfgNode | str | os.PathLike = "", opts: Sequence[str] = ()) -> CfgNode:
    """Returns a new config from a file, a name or a node, with overrides.

    Args:
        config: Path of a YAML file; name of a published model or of a config, see :func:`config_file`; config
            node, which is copied; or "" for the defaults.
        opts: Overrides: "KEY", "VALUE", ...

    Raises:
        InputError: If the file is missing or not valid YAML, a key is unknown, or a value has the wrong type.
    """
    if isinstance(config, CfgNode):
        cfg = config.clone()
        cfg.defrost()
    else:
        cfg = get_cfg()
        if config:
            _merge_file(cfg, find_config(config))
    merge_options(cfg, opts)
    return cfg


def find_config(config: str | os.PathLike) -> str:
    """Returns the path of a config file, given its path or its name.

    Raises:
        InputError: If the config does not exist.
    """
    path = os.fspath(config)
    if os.path.isfile(path) or path.endswith((".yaml", ".yml")):
        return path
    return str(config_file(path))


def config_file(name: str) -> Path:
    """Returns the file of a named config.

    Args:
        name: A published model, such as "mmdet/solov2_R50_3x", or a path below ``configs/`` with or without
            ".yaml", such as "SOLOv2/solov2_R50_3x".

    Raises:
        InputError: If the config does not exist; the message suggests the nearest names.
    """
    home = next((path for path in _HOMES if path.is_dir()), None)
    if home is None:
        raise InputError(f"the configs are not at {_HOMES[0]}: install solo_d2 again")
    stem = name.removesuffix(".yaml")
    for candidate in (home / "zoo" / f"{stem}.yaml", home / f"{stem}.yaml"):
        if candidate.is_file() and candidate.is_relative_to(home):
            return candidate
    known = [path.relative_to(home).with_suffix("").as_posix() for path in home.rglob("*.yaml")]
    names = [name.removeprefix("zoo/") for name in known if "/Base-" not in name]
    hint = suggestion(stem, names, "docs/MODEL_ZOO.md lists them", most=3)
    raise InputError(f"there is no config {name}{hint}")


def merge_options(cfg: CfgNode, options: Sequence[str]) -> None:
    """Sets keys of a config, in place.

    Args:
        cfg: The config.
        options: "KEY", "VALUE", ...

    Raises:
        InputError: If a key is unknown, or a value is missing or has the wrong type.
    """
    flags = [option for option in options[0::2] if option.startswith("--")]
    if flags:
        raise InputError(f"{flags[0]} must stand before the KEY VALUE pairs")
    if len(options) % 2:
        raise InputError(f"KEY VALUE pairs expected, {options[-1]!r} has no value")
    for key in options[0::2]:
        check_key(cfg, key, "command line")
    for key, value in zip(options[0::2], options[1::2], strict=True):
        try:
            cfg.merge_from_list([key, value])
        except _MERGE_ERRORS as error:
            raise InputError(f"{key} {value}: {_reason(error)}") from error


def flatten(node: Mapping, prefix: str = "") -> dict[str, object]:
    """Returns the values of nested mappings by dotted name; an empty mapping is a value."""
    flat: dict[str, object] = {}
    for name, value in node.items():
        path = f"{prefix}.{name}" if prefix else name
        flat |= flatten(value, path) if isinstance(value, Mapping) and value else {path: value}
    return flat


def check_key(cfg: CfgNode, key: str, source: str) -> None:
    """Raises ``InputError``, with the nearest key, if a config has no such key."""
    known = flatten(cfg)
    if key in known:
        return
    if any(name.startswith(f"{key}.") for name in known):
        raise InputError(f"{source}: config key {key} is a group of keys, not one")
    raise InputError(f"{source}: there is no config key {key}{suggestion(key, known)}")


def _merge_file(cfg: CfgNode, path: str) -> None:
    if not os.path.isfile(path):
        raise InputError(f"config file {path} does not exist")
    content = read_yaml_config(path)
    for key in flatten(content):
        check_key(cfg, key, path)
    needed = cfg.VERSION
    version = content.get("VERSION", needed)
    if version != needed:
        raise InputError(
            f"{path}: VERSION is {version}, {needed} is needed: convert the file with "
            "Detectron2's upgrade_config"
        )
    try:
        cfg.merge_from_other_cfg(CfgNode(content))
    except _MERGE_ERRORS as error:
        raise InputError(f"{path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Returns what is wrong with a value; without a text, the value was nested too deeply to be read."""
    return str(error) or "a value is nested too deeply"
