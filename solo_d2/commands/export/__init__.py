"""Writes a trained model (``solo-d2 export``), or parts of it, for other programs."""

from .model import build_parser, run

__all__ = ["build_parser", "run"]
