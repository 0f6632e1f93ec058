"""Drawing of predictions and annotations on images.

Coordinates in arguments are those of the input image; ``scale`` enlarges the picture. Colors are RGB
in [0, 1]. Shapes are drawn immediately, labels last, so that no shape covers a label.
"""

import os
from collections.abc import Sequence
from enum import Enum, unique
from typing import Any

import cv2
import numpy as np
import pycocotools.mask as mask_util
import torch
from PIL import Image

from detectron2.data import MetadataCatalog
from detectron2.data.detection_utils import read_image
from detectron2.structures import BoxMode, Instances, polygons_to_bitmask

from .colormap import colormap
from .drawing import Color, Label, draw_labels, draw_lines, fill_mask, lighten, text_size

_MIN_FONT_PX = 10
_FONT_FRACTION = 1 / 48  # of the picture's mean side length
_LINE_FRACTION = 1 / 400
_SMALL_OBJECT_LABELS = 4  # smaller objects, in areas of their label, have the label outside
_ROOM_FOR_TEXT = 2  # smaller parts of stuff, in areas of their label, have no label
_CONTOUR_LUMINANCE = 0.5
_OFF_WHITE = (1.0, 1.0, 240 / 255)


@unique
class ColorMode(Enum):
    """The coloring of instances."""

    IMAGE = 0
    """A different color for every instance."""


class VisImage:
    """The picture that is drawn on.

    Args:
        img: (H, W, 3), RGB in 0..255.
        scale: Size of the picture relative to the image.
    """

    def __init__(self, img: np.ndarray, scale: float = 1.0):
        self.scale = scale
        self.img = np.clip(img, 0, 255).astype(np.uint8)
        self.height, self.width = self.img.shape[:2]
        self.canvas = self.img.copy()
        if self.scale != 1:
            size = [max(1, round(side * self.scale)) for side in (self.width, self.height)]
            method = cv2.INTER_CUBIC if self.scale > 1 else cv2.INTER_AREA
            self.canvas = cv2.resize(self.canvas, size, interpolation=method)

    def get_image(self) -> np.ndarray:
        """Returns the picture (H * scale, W * scale, 3), RGB uint8."""
        return self.canvas

    def save(self, filepath: str | os.PathLike) -> None:
        """Writes the picture in the format of the file's suffix."""
        Image.fromarray(self.get_image()).save(filepath)


class Visualizer:
    """Draws on one image.

    Args:
        img_rgb: (H, W, 3), RGB in 0..255.
        metadata: Metadata of the dataset, with optional class names and colors.
        scale: Size of the picture relative to the image.
        instance_mode: ``ColorMode.IMAGE``; d2lite has no other.
        font_size_scale: Factor on the size of the text, which grows with the picture.
    """

    def __init__(
        self,
        img_rgb: np.ndarray,
        metadata: Any = None,
        scale: float = 1.0,
        instance_mode: ColorMode = ColorMode.IMAGE,
        font_size_scale: float = 1.0,
    ):
        self.metadata = MetadataCatalog.get("__nonexist__") if metadata is None else metadata
        self.output = VisImage(np.asarray(img_rgb), scale)
        self.img = self.output.img
        side = np.sqrt(np.prod(self.output.canvas.shape[:2]))
        self._font_px = round(max(_MIN_FONT_PX, float(side) * _FONT_FRACTION) * font_size_scale)
        self._line_px = max(1, round(float(side) * _LINE_FRACTION))
        self._labels: list[Label] = []

    def draw_instance_predictions(self, predictions: Instances) -> VisImage:
        """Draws predicted instances.

        Args:
            predictions: Have any of pred_boxes, pred_masks, scores, pred_classes.
        """
        fields = predictions.get_fields()
        classes, scores = (
            None if fields.get(name) is None else fields[name].tolist() for name in ("pred_classes", "scores")
        )
        masks = fields.get("pred_masks")
        if masks is not None:
            masks = _to_masks(masks, self.output.height, self.output.width)
        return self.overlay_instances(
            boxes=fields.get("pred_boxes"),
            masks=masks,
            labels=_text_labels(classes, scores, self.metadata.get("thing_classes")),
        )

    def draw_dataset_dict(self, dic: dict) -> VisImage:
        """Draws the annotations and the "sem_seg" of a record in the standard dict format."""
        annotations = dic.get("annotations")
        if annotations:
            classes = [ann["category_id"] for ann in annotations]
            has_masks = all("segmentation" in ann for ann in annotations)
            self._overlay(
                boxes=[
                    BoxMode.convert(ann["bbox"], ann["bbox_mode"], BoxMode.XYXY_ABS) for ann in annotations
                ],
                masks=[ann["segmentation"] for ann in annotations] if has_masks else None,
                labels=_text_labels(
                    classes,
                    None,
                    self.metadata.get("thing_classes"),
                    [ann.get("iscrowd", 0) for ann in annotations],
                ),
            )
        sem_seg = dic.get("sem_seg")
        if sem_seg is None and "sem_seg_file_name" in dic:
            sem_seg = read_image(dic["sem_seg_file_name"], "L")[:, :, 0]
        if sem_seg is not None:
            self.draw_sem_seg(sem_seg, area_threshold=0, alpha=0.5)
        return self.get_output()

    def draw_sem_seg(self, sem_seg: Any, area_threshold: float | None = None, alpha: float = 0.8) -> VisImage:
        """Draws a label map.

        Args:
            sem_seg: (H, W) integer tensor or array; labels outside ``stuff_classes`` are skipped.
            area_threshold: Parts with fewer pixels get no text; None depends on the size of the text.
            alpha: Opacity; 1 hides the image.
        """
        sem_seg = _to_numpy(sem_seg)
        labels, areas = np.unique(sem_seg, return_counts=True)
        for label in labels[np.argsort(-areas)].tolist():
            if 0 <= label < len(self.metadata.stuff_classes):
                self._draw_stuff(sem_seg == label, label, area_threshold, alpha)
        return self.get_output()

    def draw_panoptic_seg(
        self,
        panoptic_seg: Any,
        segments_info: list[dict],
        area_threshold: float | None = None,
        alpha: float = 0.7,
    ) -> VisImage:
        """Draws a panoptic segmentation: first stuff, then things.

        Args:
            panoptic_seg: (H, W) integer tensor of segment ids.
            segments_info: Dicts with "id", "isthing", "category_id" (an index into thing_classes or
                stuff_classes) and optionally "score", "iscrowd".
            area_threshold: Parts of stuff with fewer pixels get no text.
            alpha: Opacity; 1 hides the image.
        """
        return self._draw_panoptic(_to_numpy(panoptic_seg), segments_info, area_threshold, alpha)

    draw_panoptic_seg_predictions = draw_panoptic_seg

    def overlay_instances(
        self,
        *,
        boxes: Any = None,
        labels: Sequence[str] | None = None,
        masks: Any = None,
        assigned_colors: Sequence[Color] | None = None,
        alpha: float = 0.5,
    ) -> VisImage:
        """Draws instances, largest first, so that none hides a smaller one.

        Args:
            boxes: None, ``Boxes`` or (N, 4), absolute x1, y1, x2, y2.
            labels: None or N texts.
            masks: None, (N, H, W) bool, ``BitMasks``, ``PolygonMasks``, or a list with an (H, W)
                array, polygons or an RLE per instance.
            assigned_colors: None or N colors.
            alpha: Opacity of the masks.
        """
        self._overlay(boxes, labels, masks, assigned_colors, alpha)
        return self.get_output()

    def get_output(self) -> VisImage:
        """Draws the pending labels and returns the picture."""
        draw_labels(self.output.canvas, self._labels)
        self._labels.clear()
        return self.output

    def _draw_box(self, box: np.ndarray, color: Color) -> None:
        """Draws the outline of a box x1, y1, x2, y2."""
        x1, y1, x2, y2 = box * self.output.scale
        corners = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
        draw_lines(self.output.canvas, corners, lighten(color, _CONTOUR_LUMINANCE), self._line_px)

    def _draw_panoptic(
        self,
        ids: np.ndarray,
        segments_info: list[dict],
        area_threshold: float | None,
        alpha: float,
        colors: Sequence[Color] | None = None,
    ) -> VisImage:
        """Draws a panoptic segmentation with given colors of the things."""
        for info in segments_info:
            if not info["isthing"]:
                self._draw_stuff(ids == info["id"], info["category_id"], area_threshold, alpha)
        things = [info for info in segments_info if info["isthing"]]
        classes = [info["category_id"] for info in things]
        has_scores = all("score" in info for info in things)
        self._overlay(
            masks=[ids == info["id"] for info in things],
            labels=_text_labels(
                classes,
                [info["score"] for info in things] if has_scores else None,
                self.metadata.get("thing_classes"),
                [info.get("iscrowd", 0) for info in things],
            ),
            colors=colors,
            alpha=alpha,
        )
        return self.get_output()

    def _overlay(
        self,
        boxes: Any = None,
        labels: Sequence[str] | None = None,
        masks: Any = None,
        colors: Sequence[Color] | None = None,
        alpha: float = 0.5,
    ) -> None:
        """Draws instances; their labels stay pending."""
        if boxes is not None:
            boxes = _to_numpy(getattr(boxes, "tensor", boxes)).reshape(-1, 4).astype(np.float64)
        if masks is not None:
            masks = _to_masks(masks, self.output.height, self.output.width)
        count = len(boxes if boxes is not None else masks if masks is not None else [])
        for values in (masks, labels, colors):
            assert values is None or len(values) == count, f"{len(values)} is not {count} instances."
        colors = [_palette_color(i) for i in range(count)] if colors is None else colors
        extents = np.array([_extent(m) for m in masks or []]) if boxes is None else boxes
        extents = extents.reshape(-1, 4)
        areas = (extents[:, 2:] - extents[:, :2]).prod(axis=1)
        for i in np.argsort(-areas, kind="stable").tolist():
            if masks is not None:
                edge = lighten(colors[i], _CONTOUR_LUMINANCE)
                fill_mask(self.output.canvas, masks[i], colors[i], alpha, edge, self._line_px)
            if boxes is not None:
                self._draw_box(boxes[i], colors[i])
            if labels is not None and labels[i] and areas[i] > 0:
                self._label_instance(labels[i], extents[i] * self.output.scale, colors[i])

    def _label_instance(self, text: str, extent: np.ndarray, color: Color) -> None:
        """Adds a pending label for an object with a box (4,) in picture pixels."""
        x0, y0, x1, y1 = extent.tolist()
        w, h = text_size(text, self._font_px)
        inside = [(x0, y0), (x0, y1 - h), (x1 - w, y0)]
        outside = [(x0, y0 - h), (x0, y1), (x1, y0)]
        is_small = (x1 - x0) * (y1 - y0) < _SMALL_OBJECT_LABELS * w * h
        places = (*outside, *inside) if is_small else (*inside, *outside)
        self._labels.append(Label(text, places, tuple(color), self._font_px))

    def _draw_stuff(self, mask: np.ndarray, label: int, area_threshold: float | None, alpha: float) -> None:
        """Draws a region (H, W) of stuff; every large part gets a pending label."""
        colors = self.metadata.get("stuff_colors")
        color = _palette_color(label) if colors is None else np.asarray(colors[label]) / 255
        fill_mask(self.output.canvas, mask, color, alpha, _OFF_WHITE, self._line_px)
        text = (_text_labels([label], None, self.metadata.get("stuff_classes")) or [""])[0]
        w, h = text_size(text, self._font_px)
        if area_threshold is None:
            area_threshold = _ROOM_FOR_TEXT * w * h / self.output.scale**2
        for x, y in _part_centers(mask, area_threshold):
            place = (x * self.output.scale - w / 2, y * self.output.scale - h / 2)
            self._labels.append(Label(text, (place,), tuple(color), self._font_px))


def _palette_color(index: int) -> np.ndarray:
    colors = colormap(rgb=True, maximum=1)
    return colors[index % len(colors)]


def _to_numpy(x: Any) -> np.ndarray:
    return x.detach().cpu().numpy() if isinstance(x, torch.Tensor) else np.asarray(x)


def _to_masks(masks: Any, height: int, width: int) -> list[np.ndarray]:
    """Converts any masks that ``overlay_instances`` accepts to an (H, W) bool array per instance."""
    masks = getattr(masks, "polygons", getattr(masks, "tensor", masks))
    if isinstance(masks, torch.Tensor):
        masks = _to_numpy(masks)
    converted = []
    for mask in masks:
        if isinstance(mask, list):
            mask = polygons_to_bitmask(mask, height, width)
        elif isinstance(mask, dict):
            if isinstance(mask["counts"], list):
                mask = mask_util.frPyObjects(mask, *mask["size"])
            mask = mask_util.decode(mask)
        mask = _to_numpy(mask).astype(bool)
        assert mask.shape == (height, width), f"Mask of {mask.shape} on {(height, width)} pixels."
        converted.append(mask)
    return converted


def _extent(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Returns the tight box x0, y0, x1, y1 of a mask; zeros for an empty mask."""
    x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
    return x, y, x + w, y + h


def _part_centers(mask: np.ndarray, area_threshold: float) -> list[tuple[float, float]]:
    """Returns x, y of the innermost pixel of every large connected part."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    centers = []
    for part in range(1, count):
        x, y, w, h, area = stats[part]
        if area < area_threshold or area == 0:
            continue
        inside = np.pad((parts[y : y + h, x : x + w] == part).astype(np.uint8), 1)
        depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        centers.append((float(x + column - 1), float(y + row - 1)))
    return centers


def _text_labels(
    classes: Sequence[int] | None,
    scores: Sequence[float] | None,
    names: Sequence[str] | None,
    crowd: Sequence[int] | None = None,
) -> list[str] | None:
    """Returns "<class name> <score>%" per instance, without unknown parts; None if all are unknown."""
    columns: list[list[str]] = []
    if classes is not None:
        columns.append([names[c] if names and c < len(names) else str(c) for c in classes])
    if scores is not None:
        columns.append([f"{100 * score:.0f}%" for score in scores])
    texts = [" ".join(parts) for parts in zip(*columns, strict=True)] if columns else None
    if texts is not None and crowd is not None:
        texts = [f"{t}|crowd" if c else t for t, c in zip(texts, crowd, strict=True)]
    return texts
