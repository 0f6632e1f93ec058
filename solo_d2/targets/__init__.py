"""Ground truth to training targets: vectorised, on the model's device, without parameters."""

from .contours import trace_contours
from .grid_assigner import assign_grid_targets
from .mask_geometry import downsample_masks, mass_centers

__all__ = ["assign_grid_targets", "downsample_masks", "mass_centers", "trace_contours"]
