"""Masks and their measures, shared by data and methods."""

from .masks import boxes_from_masks, extent, mass_centers

__all__ = [
    "boxes_from_masks",
    "extent",
    "mass_centers",
]
