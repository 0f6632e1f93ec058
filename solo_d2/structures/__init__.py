"""Masks and their measures, shared by data and methods."""

from .masks import boxes_from_masks, downsample_masks, extent, mass_centers, sample_masks

__all__ = [
    "boxes_from_masks",
    "downsample_masks",
    "extent",
    "mass_centers",
    "sample_masks",
]
