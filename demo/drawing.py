"""Instances drawn over pictures and video frames."""

import math

import numpy as np

from detectron2.structures import Instances
from detectron2.utils.video_visualizer import VideoVisualizer
from detectron2.utils.visualizer import ColorMode, Visualizer

# Smaller pictures are drawn enlarged, so that labels do not cover the objects.
MIN_SIDE = 320


def draw_picture(picture: np.ndarray, instances: Instances, metadata) -> np.ndarray:
    """Draws masks, boxes, class names and scores.

    Args:
        picture: RGB uint8 (H, W, 3).
        instances: results of the picture, on the CPU.
        metadata: class names and colours.

    Returns:
        RGB uint8 (k * H, k * W, 3), a new array; k is 1 unless the shorter side is below ``MIN_SIDE``.
    """
    scale = math.ceil(MIN_SIDE / min(picture.shape[:2]))
    visualizer = Visualizer(picture, metadata, scale=scale, instance_mode=ColorMode.IMAGE)
    return visualizer.draw_instance_predictions(instances).get_image()


class FrameDrawer:
    """Draws successive frames of one video; an object keeps its colour while it is followed."""

    def __init__(self, metadata):
        self._visualizer = VideoVisualizer(metadata, ColorMode.IMAGE)

    def __call__(self, frame: np.ndarray, instances: Instances) -> np.ndarray:
        """Takes and returns BGR uint8 frames (H, W, 3)."""
        drawn = self._visualizer.draw_instance_predictions(np.ascontiguousarray(frame[:, :, ::-1]), instances)
        return drawn.get_image()[:, :, ::-1]
