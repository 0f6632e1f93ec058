"""Registries and lookup by dotted name."""

import pytest
import torch

from detectron2.utils.registry import Registry, locate


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


def test_locate():
    assert locate("torch.optim.SGD") is torch.optim.SGD
    with pytest.raises(ImportError):
        locate("torch.optim.Nothing")
