"""The base of all methods: the meta-architecture's contract, postprocessing, and backbones."""

from . import backbones

__all__ = ["backbones"]
