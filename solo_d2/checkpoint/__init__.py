"""Saving and loading weights; one adapter for each foreign layout (:mod:`solo_d2.checkpoint.formats`)."""

from .adapter import Adapter
from .checkpointer import SoloCheckpointer, read_checkpoint
from .formats import ADAPTERS, adapter_named, detect
from .native import NativeWeights, read_native, to_native
from .preprocessing import Preprocessing
from .weight_file import read_weight_file, write_weight_file

__all__ = [
    "ADAPTERS",
    "Adapter",
    "NativeWeights",
    "Preprocessing",
    "SoloCheckpointer",
    "adapter_named",
    "detect",
    "read_checkpoint",
    "read_native",
    "read_weight_file",
    "to_native",
    "write_weight_file",
]
