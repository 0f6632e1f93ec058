"""Drawing on the frames of a video, with a constant color per object.

An object keeps its color as long as it overlaps its own shape in a recent frame.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

from detectron2.structures import Instances

from .colormap import colormap
from .visualizer import ColorMode, VisImage, Visualizer, _text_labels, _to_masks, _to_numpy

_MIN_MASK_IOU = 0.4
_MIN_BOX_IOU = 0.5
_FRAMES_REMEMBERED = 8  # an object unseen for longer gets a new color


@dataclass
class _Track:
    """One object: its class, last shape, color, and the number of frames since it was seen."""

    label: int
    shape: dict | list[float]
    color: np.ndarray
    unseen: int = 0


class VideoVisualizer:
    """Draws on consecutive frames.

    Args:
        metadata: Metadata of the dataset, with optional class names and colors.
        instance_mode: ``ColorMode.IMAGE``; d2lite has no other.
    """

    def __init__(self, metadata: Any, instance_mode: ColorMode = ColorMode.IMAGE):
        self.metadata = metadata
        self._tracks: list[_Track] = []
        self._num_colors_used = 0

    def draw_instance_predictions(self, frame: np.ndarray, predictions: Instances) -> VisImage:
        """Draws predicted instances on the next frame.

        Args:
            frame: (H, W, 3), RGB in 0..255.
            predictions: Have pred_classes, pred_masks and/or pred_boxes, and optionally scores.
        """
        visualizer = Visualizer(frame, self.metadata)
        fields = predictions.get_fields()
        classes = fields["pred_classes"].tolist()
        boxes = fields.get("pred_boxes")
        masks = fields.get("pred_masks")
        if masks is not None:
            masks = _to_masks(masks, frame.shape[0], frame.shape[1])
        scores = fields["scores"].tolist() if "scores" in fields else None
        return visualizer.overlay_instances(
            boxes=None if masks is not None else boxes,
            masks=masks,
            labels=_text_labels(classes, scores, self.metadata.get("thing_classes")),
            assigned_colors=self._constant_colors(classes, _shapes(boxes, masks)),
        )

    def draw_panoptic_seg_predictions(
        self,
        frame: np.ndarray,
        panoptic_seg: Any,
        segments_info: list[dict],
        area_threshold: float | None = None,
        alpha: float = 0.5,
    ) -> VisImage:
        """Draws a panoptic segmentation with constant colors; see ``Visualizer.draw_panoptic_seg``."""
        visualizer = Visualizer(frame, self.metadata)
        ids = _to_numpy(panoptic_seg)
        things = [info for info in segments_info if info["isthing"]]
        masks = [ids == info["id"] for info in things]
        classes = [info["category_id"] for info in things]
        colors = self._constant_colors(classes, _shapes(None, masks))
        return visualizer._draw_panoptic(ids, segments_info, area_threshold, alpha, colors)

    def _constant_colors(self, classes: list[int], shapes: list) -> list[np.ndarray]:
        """Matches objects, given by class and shape, to the tracks and returns their colors."""
        matches = self._match(classes, shapes)
        for track in self._tracks:
            track.unseen += 1
        colors = []
        for index, (label, shape) in enumerate(zip(classes, shapes, strict=True)):
            if index not in matches:
                matches[index] = _Track(label, shape, self._next_color())
                self._tracks.append(matches[index])
            track = matches[index]
            track.shape, track.unseen = shape, 0
            colors.append(track.color)
        self._tracks = [t for t in self._tracks if t.unseen <= _FRAMES_REMEMBERED]
        return colors

    def _match(self, classes: list[int], shapes: list) -> dict[int, _Track]:
        """Matches objects to tracks of their class, best overlap first; returns tracks by object index."""
        tracks = [t for t in self._tracks if shapes and _kind(t.shape) == _kind(shapes[0])]
        if not tracks:
            return {}
        overlaps = mask_util.iou(shapes, [t.shape for t in tracks], [0] * len(tracks))
        overlaps[np.array(classes)[:, None] != np.array([t.label for t in tracks])] = 0
        threshold = _MIN_BOX_IOU if _kind(shapes[0]) is None else _MIN_MASK_IOU
        matches: dict[int, _Track] = {}
        while overlaps.max() > threshold:
            index, track = np.unravel_index(overlaps.argmax(), overlaps.shape)
            matches[int(index)] = tracks[track]
            overlaps[index, :] = 0
            overlaps[:, track] = 0
        return matches

    def _next_color(self) -> np.ndarray:
        colors = colormap(rgb=True, maximum=1)
        self._num_colors_used += 1
        return colors[(self._num_colors_used - 1) % len(colors)]


def _kind(shape: dict | list[float]) -> tuple[int, ...] | None:
    """Returns the frame size of a mask, or None for a box; only equal kinds can be compared."""
    return tuple(shape["size"]) if isinstance(shape, dict) else None


def _shapes(boxes: Any, masks: list[np.ndarray] | None) -> list:
    """Returns an RLE per mask, or x, y, w, h per box."""
    if masks is not None:
        return [mask_util.encode(np.asfortranarray(m, dtype=np.uint8)) for m in masks]
    boxes = _to_numpy(boxes.tensor).astype(np.float64)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()
