"""Registries."""

import pytest

from detectron2.utils.registry import Registry


def test_registry():
    registry = Registry("TEST")

    @registry.register()
    def item():
        return 1

    assert registry.get("item") is item and "item" in registry
    with pytest.raises(KeyError, match="TEST"):
        registry.get("other")
    with pytest.raises(AssertionError, match="already registered"):
        registry.register(item)
