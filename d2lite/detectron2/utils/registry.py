"""Name -> object tables (fvcore's), and lookup of objects by their dotted name."""

import pydoc
from typing import Any

from fvcore.common.registry import Registry

__all__ = ["Registry", "locate"]


def locate(name: str) -> Any:
    """Returns the object with dotted path ``name``, for example ``"torch.optim.SGD"``.

    Raises:
        ImportError: there is no such object.
    """
    found = pydoc.locate(name)
    if found is None:
        raise ImportError(f"Cannot dynamically locate object {name}!")
    return found
