"""Ground truth to training targets: vectorised, on the model's device, without parameters."""

from .color_similarity import find_similar_pairs, rgb_to_lab
from .contours import trace_contours
from .grid_assigner import assign_grid_targets
from .mask_geometry import downsample_masks, mass_centers, sample_masks
from .point_assigner import assign_point_targets
from .positive_sampler import PositiveSampler
from .semantic_assigner import assign_semantic_targets

__all__ = [
    "PositiveSampler",
    "assign_grid_targets",
    "assign_point_targets",
    "assign_semantic_targets",
    "downsample_masks",
    "find_similar_pairs",
    "mass_centers",
    "rgb_to_lab",
    "sample_masks",
    "trace_contours",
]
