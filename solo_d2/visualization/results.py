"""Instances or panoptic segments drawn over pictures and video frames."""

import math

import cv2
import numpy as np

from detectron2.structures import Instances
from detectron2.utils.video_visualizer import VideoVisualizer
from detectron2.utils.visualizer import ColorMode, Visualizer

# Smaller pictures are drawn enlarged, so that labels do not cover the objects.
MIN_SIDE = 320
# What is drawn of an instance, beside its class and score.
PARTS = ("both", "masks", "boxes")
_BOX_COLOR = (255, 255, 255)


def choose_parts(instances: Instances, parts: str) -> Instances:
    """Leaves out what is not to be drawn.

    Args:
        instances: results of a picture; those of a box-only model have no masks.
        parts: one of ``PARTS``.

    Returns:
        The instances without ``pred_boxes`` ("masks") or without ``pred_masks`` ("boxes").
    """
    left_out = {"both": "", "masks": "pred_boxes", "boxes": "pred_masks"}[parts]
    chosen = Instances(instances.image_size)
    for name, value in instances.get_fields().items():
        if name != left_out:
            chosen.set(name, value)
    return chosen


def draw_picture(picture: np.ndarray, result: dict, metadata, parts: str = "both") -> np.ndarray:
    """Draws masks and/or boxes, class names and scores; of a panoptic result things and stuff.

    Args:
        picture: RGB uint8 (H, W, 3).
        result: of the picture, on the CPU: "panoptic_seg" where there is one, else "instances".
        metadata: class names and colours.
        parts: what is drawn of instances, one of ``PARTS``.

    Returns:
        RGB uint8 (k * H, k * W, 3), a new array; k is 1 unless the shorter side is below ``MIN_SIDE``.
    """
    scale = math.ceil(MIN_SIDE / min(picture.shape[:2]))
    visualizer = Visualizer(picture, metadata, scale=scale, instance_mode=ColorMode.IMAGE)
    if "panoptic_seg" in result:
        return visualizer.draw_panoptic_seg(*result["panoptic_seg"]).get_image()
    return visualizer.draw_instance_predictions(choose_parts(result["instances"], parts)).get_image()


class FrameDrawer:
    """Draws successive frames of one video; an object keeps its colour while it is followed."""

    def __init__(self, metadata, parts: str = "both"):
        self._visualizer = VideoVisualizer(metadata, ColorMode.IMAGE)
        self._parts = parts

    def __call__(self, frame: np.ndarray, result: dict) -> np.ndarray:
        """Takes a frame and its result as in :func:`draw_picture`; frames are BGR uint8 (H, W, 3)."""
        rgb = np.ascontiguousarray(frame[:, :, ::-1])
        if "panoptic_seg" in result:
            drawn = self._visualizer.draw_panoptic_seg_predictions(rgb, *result["panoptic_seg"])
            return np.ascontiguousarray(drawn.get_image()[:, :, ::-1])
        return self._draw_instances(rgb, result["instances"])

    def _draw_instances(self, rgb: np.ndarray, instances: Instances) -> np.ndarray:
        # It needs boxes to follow objects, and draws none next to masks.
        chosen = choose_parts(instances, "boxes" if self._parts == "boxes" else "both")
        drawn = self._visualizer.draw_instance_predictions(rgb, chosen)
        picture = np.ascontiguousarray(drawn.get_image()[:, :, ::-1])
        if self._parts == "both" and chosen.has("pred_masks"):
            for x0, y0, x1, y1 in chosen.pred_boxes.tensor.round().int().tolist():
                cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), _BOX_COLOR, 1)
        return picture
