"""Passes config keys to components by name, so that each setting is written once.

Arguments are named like the keys in lower case: ``mask_loss`` gets the key ``MASK_LOSS``.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from typing import Any, TypeVar

from solo_d2.utils.errors import InputError

Component = TypeVar("Component")


def build(component: Callable[..., Component], cfg: Mapping, *nodes: str, **others) -> Component:
    """Calls a component with the config keys named like its parameters.

    Args:
        component: A function or a class; parameters of bases count if the class passes on ``**kwargs``.
        cfg: The whole config.
        *nodes: Full names, such as "MODEL.SOLOV2.LOSS"; the first node with the key wins.
        **others: Other arguments, which override keys.

    Raises:
        InputError: The component's errors, with the key's full name in place of the argument's.
    """
    keys = _find_keys(component, cfg, nodes)
    with naming_keys({name: key for name, key in keys.items() if name not in others}):
        return component(**arguments(component, cfg, *nodes, **others))


def arguments(component: Callable, cfg: Mapping, *nodes: str, **others) -> dict[str, Any]:
    """Returns the arguments that :func:`build` passes to the component, for a ``from_config``."""
    keys = _find_keys(component, cfg, nodes)
    return {name: _get(cfg, key) for name, key in keys.items()} | others


@contextmanager
def naming_keys(keys: Mapping[str, str]) -> Iterator[None]:
    """Replaces argument names by config keys in the messages of ``InputError``."""
    try:
        yield
    except InputError as error:
        message = re.sub(r"(?<![\w'\"])[a-z]\w*", lambda word: keys.get(word[0], word[0]), str(error))
        raise InputError(message) from error


def _find_keys(component: Callable, cfg: Mapping, nodes: tuple[str, ...]) -> dict[str, str]:
    """Maps the component's parameters to full names of keys. A key that is itself a node is ignored."""
    found: dict[str, str] = {}
    for node in nodes:
        settings = _get(cfg, node)
        for name in _parameters(component):
            key = name.upper()
            if name not in found and key in settings and not isinstance(settings[key], Mapping):
                found[name] = f"{node}.{key}"
    return found


def _get(cfg: Mapping, name: str) -> Any:
    return reduce(lambda node, part: node[part], name.split("."), cfg)


def _parameters(component: Callable) -> set[str]:
    if not isinstance(component, type):
        return set(inspect.signature(component).parameters)
    names: set[str] = set()
    for base in component.__mro__:
        if "__init__" in vars(base):
            parameters = inspect.signature(vars(base)["__init__"]).parameters
            names |= set(parameters)
            if all(parameter.kind != parameter.VAR_KEYWORD for parameter in parameters.values()):
                break
    return names
