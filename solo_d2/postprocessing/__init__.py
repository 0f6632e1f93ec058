"""Predictions to results."""

from .free_mask_inference import FreeMaskInference
from .grid_inference import GridInference, points_nms
from .instances import (
    boxes_from_masks,
    boxes_from_soft_masks,
    build_instances,
    drop_wide,
    empty_instances,
    resize_masks,
)
from .panoptic_merge import PanopticMerge
from .point_inference import PointInference
from .restoring import restore_size

__all__ = [
    "FreeMaskInference",
    "GridInference",
    "PanopticMerge",
    "PointInference",
    "boxes_from_masks",
    "boxes_from_soft_masks",
    "build_instances",
    "drop_wide",
    "empty_instances",
    "points_nms",
    "resize_masks",
    "restore_size",
]
