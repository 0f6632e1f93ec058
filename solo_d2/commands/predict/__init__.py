"""Segments pictures, folders, videos or a webcam with a trained model; needs no display."""

from .command import build_parser, run

__all__ = ["build_parser", "run"]
