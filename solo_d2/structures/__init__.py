"""Plain data that two or more methods hand from one stage to the next."""

from .masks import boxes_from_masks, downsample_masks, extent, mass_centers, sample_masks

__all__ = [
    "boxes_from_masks",
    "downsample_masks",
    "extent",
    "mass_centers",
    "sample_masks",
]
