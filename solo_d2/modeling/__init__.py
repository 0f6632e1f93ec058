"""What all methods stand on: the contract of a meta-architecture, postprocessing and backbones."""

from . import backbones

__all__ = ["backbones"]
