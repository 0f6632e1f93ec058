"""Drawing predictions and annotations on images.

Coordinates in arguments are those of the input image; `scale` enlarges the picture. Colours are RGB
in [0, 1]. Shapes are drawn at once; labels wait until the picture is handed out, so that no shape
covers a label.
"""

import os
from enum import Enum, unique

import cv2
import numpy as np
import pycocotools.mask as mask_util
import torch
from PIL import Image

from detectron2.data import MetadataCatalog
from detectron2.data.detection_utils import read_image
from detectron2.structures import BoxMode, polygons_to_bitmask

from .colormap import colormap
from .drawing import Label, draw_labels, draw_lines, fill_mask, lighten, text_size

_MIN_FONT_PX = 10
_FONT_FRACTION = 1 / 48  # of the picture's mean side
_LINE_FRACTION = 1 / 400
_SMALL_OBJECT_LABELS = 4  # objects smaller than this many times their label have it outside
_ROOM_FOR_TEXT = 2  # a part of stuff is named when it is so many times larger than its label
_CONTOUR_LUMINANCE = 0.5
_OFF_WHITE = (1.0, 1.0, 240 / 255)
_SHADES = (1.0, 0.8, 1.15, 0.9)  # of a class's colour, for neighbouring instances


@unique
class ColorMode(Enum):
    """How instances are coloured."""

    IMAGE = 0
    """A different colour for every instance."""
    SEGMENTATION = 1
    """One colour per class (`thing_colors` of the metadata), slightly varied per instance."""
    IMAGE_BW = 2
    """As IMAGE, on a picture that is grey wherever there is no instance."""


class VisImage:
    """The picture that is drawn on.

    Args:
        img: (h, w, 3) RGB in 0-255.
        scale: factor by which the picture is larger than the image.
    """

    def __init__(self, img: np.ndarray, scale: float = 1.0):
        self.scale = scale
        self.reset_image(img)

    def reset_image(self, img: np.ndarray) -> None:
        """Starts again from an image (h, w, 3)."""
        self.img = np.clip(img, 0, 255).astype(np.uint8)
        self.height, self.width = self.img.shape[:2]
        self.canvas = self.img.copy()
        if self.scale != 1:
            size = [max(1, round(side * self.scale)) for side in (self.width, self.height)]
            method = cv2.INTER_CUBIC if self.scale > 1 else cv2.INTER_AREA
            self.canvas = cv2.resize(self.canvas, size, interpolation=method)

    def get_image(self) -> np.ndarray:
        """Returns the picture (h * scale, w * scale, 3), RGB uint8."""
        return self.canvas

    def save(self, filepath: str | os.PathLike) -> None:
        """Writes the picture; the file's ending says in which format."""
        Image.fromarray(self.get_image()).save(filepath)


class Visualizer:
    """Draws on one image.

    Args:
        img_rgb: (h, w, 3), RGB in 0-255.
        metadata: of the dataset; class names and colours are used where it has them.
        scale: factor by which the picture is larger than the image.
        instance_mode: how instances are coloured.
        font_size_scale: multiplies the size of the text, which follows the size of the picture.
    """

    def __init__(
        self,
        img_rgb: np.ndarray,
        metadata=None,
        scale: float = 1.0,
        instance_mode: ColorMode = ColorMode.IMAGE,
        font_size_scale: float = 1.0,
    ):
        self.metadata = MetadataCatalog.get("__nonexist__") if metadata is None else metadata
        self.output = VisImage(np.asarray(img_rgb), scale)
        self.img = self.output.img
        self._instance_mode = instance_mode
        side = np.sqrt(np.prod(self.output.canvas.shape[:2]))
        self._font_px = round(max(_MIN_FONT_PX, side * _FONT_FRACTION) * font_size_scale)
        self._line_px = max(1, round(side * _LINE_FRACTION))
        self._labels: list[Label] = []

    def draw_instance_predictions(self, predictions, jittering: bool = True) -> VisImage:
        """Draws predicted instances.

        Args:
            predictions: `Instances` with any of pred_boxes, pred_masks, scores, pred_classes.
            jittering: vary a class's colour from instance to instance (mode SEGMENTATION).
        """
        fields = predictions.get_fields()
        classes, scores = (
            None if fields.get(name) is None else fields[name].tolist() for name in ("pred_classes", "scores")
        )
        masks = fields.get("pred_masks")
        if masks is not None:
            masks = _to_masks(masks, self.output.height, self.output.width)
        if self._instance_mode == ColorMode.IMAGE_BW:
            self._grey_outside(np.any(masks, axis=0) if masks else np.False_)
        return self.overlay_instances(
            boxes=fields.get("pred_boxes"),
            masks=masks,
            labels=_text_labels(classes, scores, self.metadata.get("thing_classes")),
            assigned_colors=self._instance_colors(classes, jittering),
        )

    def draw_dataset_dict(self, dic: dict) -> VisImage:
        """Draws the annotations and the "sem_seg" of an element in the standard dict format."""
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
                colors=self._instance_colors(classes),
            )
        sem_seg = dic.get("sem_seg")
        if sem_seg is None and "sem_seg_file_name" in dic:
            sem_seg = read_image(dic["sem_seg_file_name"], "L")[:, :, 0]
        if sem_seg is not None:
            self.draw_sem_seg(sem_seg, area_threshold=0, alpha=0.5)
        return self.get_output()

    def draw_sem_seg(self, sem_seg, area_threshold: float | None = None, alpha: float = 0.8) -> VisImage:
        """Draws a label map.

        Args:
            sem_seg: (h, w) integer tensor or array; labels beyond `stuff_classes` are left out.
            area_threshold: parts of fewer pixels get no text; None: those that it would cover.
            alpha: opacity; 1 hides the image.
        """
        sem_seg = _to_numpy(sem_seg)
        labels, areas = np.unique(sem_seg, return_counts=True)
        for label in labels[np.argsort(-areas)].tolist():
            if 0 <= label < len(self.metadata.stuff_classes):
                self._draw_stuff(sem_seg == label, label, area_threshold, alpha)
        return self.get_output()

    def draw_panoptic_seg(
        self, panoptic_seg, segments_info: list[dict], area_threshold: float | None = None, alpha: float = 0.7
    ) -> VisImage:
        """Draws a panoptic segmentation: first stuff, then things.

        Args:
            panoptic_seg: (h, w) integer tensor of segment ids.
            segments_info: dicts with "id", "isthing", "category_id" (an index into thing_classes or
                stuff_classes) and perhaps "score", "iscrowd".
            area_threshold: parts of stuff of fewer pixels get no text.
            alpha: opacity; 1 hides the image.
        """
        return self._draw_panoptic(_to_numpy(panoptic_seg), segments_info, area_threshold, alpha)

    draw_panoptic_seg_predictions = draw_panoptic_seg

    def overlay_instances(
        self, *, boxes=None, labels=None, masks=None, assigned_colors=None, alpha: float = 0.5
    ) -> VisImage:
        """Draws instances, the largest first, so that none hides a smaller one.

        Args:
            boxes: None, `Boxes` or (n, 4), absolute x1, y1, x2, y2.
            labels: None or n texts.
            masks: None, (n, h, w) bool, `BitMasks`, `PolygonMasks`, or a list with an (h, w) array,
                polygons or an RLE per instance.
            assigned_colors: None or n colours.
            alpha: opacity of the masks.
        """
        self._overlay(boxes, labels, masks, assigned_colors, alpha)
        return self.get_output()

    def get_output(self) -> VisImage:
        """Writes the labels that wait and returns the picture."""
        draw_labels(self.output.canvas, self._labels)
        self._labels.clear()
        return self.output

    def _draw_box(self, box: np.ndarray, color) -> None:
        """Draws the outline of a box x1, y1, x2, y2."""
        x1, y1, x2, y2 = box * self.output.scale
        corners = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
        draw_lines(self.output.canvas, corners, lighten(color, _CONTOUR_LUMINANCE), self._line_px)

    def _draw_panoptic(self, ids, segments_info, area_threshold, alpha, colors=None) -> VisImage:
        """`draw_panoptic_seg` with a given colour for every thing."""
        if self._instance_mode == ColorMode.IMAGE_BW:
            self._grey_outside(np.isin(ids, [info["id"] for info in segments_info]))
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
            colors=self._instance_colors(classes) if colors is None else colors,
            alpha=alpha,
        )
        return self.get_output()

    def _overlay(self, boxes=None, labels=None, masks=None, colors=None, alpha=0.5) -> None:
        """`overlay_instances` without writing the labels yet."""
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

    def _label_instance(self, text: str, extent: np.ndarray, color) -> None:
        """Queues a label for an object of extent (4,) in picture pixels."""
        x0, y0, x1, y1 = extent.tolist()
        w, h = text_size(text, self._font_px)
        inside = [(x0, y0), (x0, y1 - h), (x1 - w, y0)]
        outside = [(x0, y0 - h), (x0, y1), (x1, y0)]
        is_small = (x1 - x0) * (y1 - y0) < _SMALL_OBJECT_LABELS * w * h
        places = (*outside, *inside) if is_small else (*inside, *outside)
        self._labels.append(Label(text, places, tuple(color), self._font_px))

    def _draw_stuff(self, mask: np.ndarray, label: int, area_threshold, alpha: float) -> None:
        """Draws a region (h, w) of stuff and queues its name for every part that has room for it."""
        colors = self.metadata.get("stuff_colors")
        color = _palette_color(label) if colors is None else np.asarray(colors[label]) / 255
        fill_mask(self.output.canvas, mask, color, alpha, _OFF_WHITE, self._line_px)
        text = _text_labels([label], None, self.metadata.get("stuff_classes"))[0]
        w, h = text_size(text, self._font_px)
        if area_threshold is None:
            area_threshold = _ROOM_FOR_TEXT * w * h / self.output.scale**2
        for x, y in _part_centers(mask, area_threshold):
            place = (x * self.output.scale - w / 2, y * self.output.scale - h / 2)
            self._labels.append(Label(text, (place,), tuple(color), self._font_px))

    def _grey_outside(self, mask: np.ndarray) -> None:
        """Takes the colour from the picture where a mask (h, w) is False."""
        grey = self.img.mean(axis=2, keepdims=True).repeat(3, axis=2)
        self.output.reset_image(np.where(mask[..., None], self.img, grey))

    def _instance_colors(self, classes: list[int] | None, jittering: bool = True) -> list | None:
        """Returns a colour per instance, or None for the palette's."""
        if classes is None or self._instance_mode != ColorMode.SEGMENTATION:
            return None
        known = self.metadata.get("thing_colors")
        seen: dict[int, int] = {}
        colors = []
        for label in classes:
            base = _palette_color(label) if known is None else np.asarray(known[label]) / 255
            shade = _SHADES[seen.get(label, 0) % len(_SHADES)] if jittering else 1.0
            seen[label] = seen.get(label, 0) + 1
            colors.append(tuple(np.clip(base * shade, 0, 1)))
        return colors


def _palette_color(index: int) -> np.ndarray:
    colors = colormap(rgb=True, maximum=1)
    return colors[index % len(colors)]


def _to_numpy(x) -> np.ndarray:
    return x.detach().cpu().numpy() if isinstance(x, torch.Tensor) else np.asarray(x)


def _to_masks(masks, height: int, width: int) -> list[np.ndarray]:
    """Returns an (h, w) bool array per instance, for all that `overlay_instances` takes."""
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
    """Returns the tight box x0, y0, x1, y1 of a mask, zeros for an empty one."""
    x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
    return x, y, x + w, y + h


def _part_centers(mask: np.ndarray, area_threshold: float) -> list[tuple[float, float]]:
    """Returns x, y of the innermost pixel of every connected part that is large enough."""
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


def _text_labels(classes, scores, names, crowd=None) -> list[str] | None:
    """Returns "<class name> <score>%" per instance, of what is known; None if nothing is."""
    columns = []
    if classes is not None:
        known = len(names) if names else 0
        columns.append([names[c] if c < known else str(c) for c in classes])
    if scores is not None:
        columns.append([f"{100 * score:.0f}%" for score in scores])
    texts = [" ".join(parts) for parts in zip(*columns, strict=True)] if columns else None
    if texts is not None and crowd is not None:
        texts = [f"{t}|crowd" if c else t for t, c in zip(texts, crowd, strict=True)]
    return texts
