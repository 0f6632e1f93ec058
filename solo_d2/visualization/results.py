"""Draws instances or panoptic segments over pictures and video frames."""

import cv2
import numpy as np

from detectron2.data import Metadata
from detectron2.structures import Instances
from detectron2.utils.video_visualizer import VideoVisualizer
from detectron2.utils.visualizer import ColorMode, Visualizer

from .pictures import enlargement

_MIN_SIDE = 320  # pixels; smaller pictures are drawn enlarged, so that labels do not cover the objects
# The parts of an instance that are drawn, next to its class and score.
PARTS = ("both", "masks", "boxes")
_BOX_COLOR = (255, 255, 255)


def choose_parts(instances: Instances, parts: str) -> Instances:
    """Drops the fields that are not drawn.

    Args:
        instances: Results of a picture; those of a box-only model have no masks.
        parts: One of ``PARTS``.

    Returns:
        The instances without ``pred_boxes`` ("masks") or without ``pred_masks`` ("boxes").
    """
    left_out = {"both": "", "masks": "pred_boxes", "boxes": "pred_masks"}[parts]
    chosen = Instances(instances.image_size)
    for name, value in instances.get_fields().items():
        if name != left_out:
            chosen.set(name, value)
    return chosen


def draw_picture(picture: np.ndarray, result: dict, metadata: Metadata, parts: str = "both") -> np.ndarray:
    """Draws masks, boxes, class names and scores, or the things and stuff of a panoptic result.

    Args:
        picture: RGB uint8 (H, W, 3).
        result: Result of the picture, on the CPU; "panoptic_seg" is drawn if it exists, else "instances".
        metadata: Class names and colors.
        parts: Parts of an instance to draw, one of ``PARTS``.

    Returns:
        RGB uint8 (k * H, k * W, 3), a new array; k enlarges pictures whose shorter side is below 320 pixels.
    """
    height, width = picture.shape[:2]
    scale = enlargement(height, width, _MIN_SIDE)
    visualizer = Visualizer(picture, metadata, scale=scale, instance_mode=ColorMode.IMAGE)
    if "panoptic_seg" in result:
        return visualizer.draw_panoptic_seg(*result["panoptic_seg"]).get_image()
    return visualizer.draw_instance_predictions(choose_parts(result["instances"], parts)).get_image()


class FrameDrawer:
    """Draws successive frames of one video; an object keeps its color while it is tracked."""

    def __init__(self, metadata: Metadata, parts: str = "both"):
        self._visualizer = VideoVisualizer(metadata, ColorMode.IMAGE)
        self._parts = parts

    def __call__(self, frame: np.ndarray, result: dict) -> np.ndarray:
        """Returns a copy of a frame, BGR uint8 (H, W, 3), with its result as in :func:`draw_picture`."""
        rgb = np.ascontiguousarray(frame[:, :, ::-1])
        if "panoptic_seg" in result:
            drawn = self._visualizer.draw_panoptic_seg_predictions(rgb, *result["panoptic_seg"])
            return np.ascontiguousarray(drawn.get_image()[:, :, ::-1])
        return self._draw_instances(rgb, result["instances"])

    def _draw_instances(self, rgb: np.ndarray, instances: Instances) -> np.ndarray:
        # The visualizer tracks objects by their boxes, but draws no boxes next to masks.
        chosen = choose_parts(instances, "boxes" if self._parts == "boxes" else "both")
        drawn = self._visualizer.draw_instance_predictions(rgb, chosen)
        picture = np.ascontiguousarray(drawn.get_image()[:, :, ::-1])
        if self._parts == "both" and chosen.has("pred_masks"):
            for x0, y0, x1, y1 in chosen.pred_boxes.tensor.round().int().tolist():
                cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), _BOX_COLOR, 1)
        return picture
