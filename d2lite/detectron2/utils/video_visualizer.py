"""Drawing on the frames of a video, with a steady colour per object.

An object keeps its colour as long as it overlaps itself in a recent frame; nothing else is tracked.
"""

from dataclasses import dataclass

import numpy as np
import pycocotools.mask as mask_util

from .colormap import colormap
from .visualizer import ColorMode, VisImage, Visualizer, _text_labels, _to_masks, _to_numpy

_MIN_MASK_IOU = 0.4
_MIN_BOX_IOU = 0.5
_FRAMES_REMEMBERED = 8  # an object that is lost for longer gets a new colour


@dataclass
class _Track:
    """One object: where it was last, its class, colour, and for how many frames it was not seen."""

    label: int
    shape: dict | list[float]
    color: np.ndarray
    unseen: int = 0


class VideoVisualizer:
    """Draws frame after frame.

    Args:
        metadata: of the dataset; class names and colours are used where it has them.
        instance_mode: `ColorMode.IMAGE` (steady colours), IMAGE_BW (the same on grey) or
            SEGMENTATION (colours of the classes).
    """

    def __init__(self, metadata, instance_mode: ColorMode = ColorMode.IMAGE):
        self.metadata = metadata
        self._instance_mode = instance_mode
        self._tracks: list[_Track] = []
        self._num_colors_used = 0

    def draw_instance_predictions(self, frame: np.ndarray, predictions) -> VisImage:
        """Draws predicted instances on the next frame.

        Args:
            frame: (h, w, 3), RGB in 0-255.
            predictions: `Instances` with pred_classes, pred_masks and/or pred_boxes, perhaps scores.
        """
        visualizer = Visualizer(frame, self.metadata, instance_mode=self._instance_mode)
        if self._instance_mode == ColorMode.SEGMENTATION:
            return visualizer.draw_instance_predictions(predictions, jittering=False)
        fields = predictions.get_fields()
        classes = fields["pred_classes"].tolist()
        boxes = fields.get("pred_boxes")
        masks = fields.get("pred_masks")
        if masks is not None:
            masks = _to_masks(masks, *frame.shape[:2])
        if self._instance_mode == ColorMode.IMAGE_BW:
            visualizer._grey_outside(np.any(masks, axis=0) if masks else np.False_)
        scores = fields["scores"].tolist() if "scores" in fields else None
        return visualizer.overlay_instances(
            boxes=None if masks is not None else boxes,
            masks=masks,
            labels=_text_labels(classes, scores, self.metadata.get("thing_classes")),
            assigned_colors=self._steady_colors(classes, _shapes(boxes, masks)),
        )

    def draw_sem_seg(self, frame: np.ndarray, sem_seg, area_threshold=None) -> VisImage:
        """Draws a label map (h, w) on a frame, see `Visualizer.draw_sem_seg`."""
        visualizer = Visualizer(frame, self.metadata)
        return visualizer.draw_sem_seg(sem_seg, area_threshold=area_threshold)

    def draw_panoptic_seg_predictions(
        self,
        frame: np.ndarray,
        panoptic_seg,
        segments_info: list[dict],
        area_threshold=None,
        alpha: float = 0.5,
    ) -> VisImage:
        """Draws a panoptic segmentation, see `Visualizer.draw_panoptic_seg`; things keep colours."""
        visualizer = Visualizer(frame, self.metadata, instance_mode=self._instance_mode)
        ids = _to_numpy(panoptic_seg)
        things = [info for info in segments_info if info["isthing"]]
        colors = None
        if self._instance_mode != ColorMode.SEGMENTATION:
            masks = [ids == info["id"] for info in things]
            classes = [info["category_id"] for info in things]
            colors = self._steady_colors(classes, _shapes(None, masks))
        return visualizer._draw_panoptic(ids, segments_info, area_threshold, alpha, colors)

    def _steady_colors(self, classes: list[int], shapes: list) -> list[np.ndarray]:
        """Matches objects (class and shape each) with the tracks; returns their colours."""
        matches = self._match(classes, shapes)
        for track in self._tracks:
            track.unseen += 1
        colors = []
        for index, (label, shape) in enumerate(zip(classes, shapes, strict=True)):
            track = matches.get(index)
            if track is None:
                track = _Track(label, shape, self._next_color())
                self._tracks.append(track)
            track.shape, track.unseen = shape, 0
            colors.append(track.color)
        self._tracks = [t for t in self._tracks if t.unseen <= _FRAMES_REMEMBERED]
        return colors

    def _match(self, classes: list[int], shapes: list) -> dict[int, _Track]:
        """Pairs objects with tracks of their class, best overlap first; object index -> track."""
        tracks = [t for t in self._tracks if shapes and _kind(t.shape) == _kind(shapes[0])]
        if not tracks:
            return {}
        overlaps = mask_util.iou(shapes, [t.shape for t in tracks], [0] * len(tracks))
        overlaps[np.array(classes)[:, None] != np.array([t.label for t in tracks])] = 0
        threshold = _MIN_BOX_IOU if _kind(shapes[0]) is None else _MIN_MASK_IOU
        matches = {}
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


def _kind(shape: dict | list[float]) -> tuple[int, int] | None:
    """Shapes of one kind can be compared: masks of the same frame size, or boxes (None)."""
    return tuple(shape["size"]) if isinstance(shape, dict) else None


def _shapes(boxes, masks: list[np.ndarray] | None) -> list:
    """Returns an RLE per mask, or x, y, w, h per box."""
    if masks is not None:
        return [mask_util.encode(np.asfortranarray(m, dtype=np.uint8)) for m in masks]
    boxes = _to_numpy(boxes.tensor).astype(np.float64)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()
