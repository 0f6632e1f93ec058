"""Saving and loading weights; one adapter for each foreign format (:mod:`solo_d2.checkpoint.formats`)."""

from .adapter import Adapter
from .checkpointer import Checkpointer
from .formats import ADAPTERS, adapter_named, detect
from .model_card import Category, ModelCard
from .native import NativeWeights, read_native, to_native
from .preprocessing import Preprocessing
from .weight_file import read_weight_file, write_weight_file

__all__ = [
    "ADAPTERS",
    "Adapter",
    "Category",
    "Checkpointer",
    "ModelCard",
    "NativeWeights",
    "Preprocessing",
    "adapter_named",
    "detect",
    "read_native",
    "read_weight_file",
    "to_native",
    "write_weight_file",
]
