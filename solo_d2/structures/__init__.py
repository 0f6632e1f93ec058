"""Masks and their measures, shared by data and methods."""

from .masks import RunMasks, boxes_from_masks, extent, mass_centers

__all__ = [
    "RunMasks",
    "boxes_from_masks",
    "extent",
    "mass_centers",
]
