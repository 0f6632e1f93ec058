"""Plain data that two or more methods hand from one stage to the next."""

from .masks import downsample_masks, mass_centers, sample_masks

__all__ = [
    "downsample_masks",
    "mass_centers",
    "sample_masks",
]
