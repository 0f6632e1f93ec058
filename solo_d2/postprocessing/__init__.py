"""Predictions to results."""

from .grid_inference import GridInference, points_nms
from .instances import (
    boxes_from_masks,
    boxes_from_soft_masks,
    build_instances,
    empty_instances,
    resize_masks,
)

__all__ = [
    "GridInference",
    "boxes_from_masks",
    "boxes_from_soft_masks",
    "build_instances",
    "empty_instances",
    "points_nms",
    "resize_masks",
]
