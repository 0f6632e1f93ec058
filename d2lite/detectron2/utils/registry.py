"""fvcore's tables of objects by name."""

from fvcore.common.registry import Registry

__all__ = ["Registry"]
