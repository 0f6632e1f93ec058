"""Saving and loading weights."""

from .checkpointer import SoloCheckpointer, read_checkpoint

__all__ = ["SoloCheckpointer", "read_checkpoint"]
