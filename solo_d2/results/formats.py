"""Instances in the forms of other tools: COCO results, LabelMe, YOLO, and crops.

Instances are on the CPU, with boxes (XYXY in pixels) and, but for models of boxes only, masks.
"""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import torch

from detectron2.structures import Instances
from solo_d2.evaluation.coco_rows import instances_to_coco_json

_LABELME_VERSION = "5.5.0"  # of the program whose form the files have
# A pixel's corners, inside it, so that readers who round down stay there.
_PIXEL = np.array([[0.01, 0.01], [0.99, 0.01], [0.99, 0.99], [0.01, 0.99]])
_CENTER = 0.5
_DIGITS = 6  # decimals of shares of a side


def coco_rows(
    instances: Instances, image_id: int | str, file_name: str, category_ids: Mapping[int, int | str]
) -> list[dict]:
    """Returns one COCO results row per instance.

    Args:
        instances: Results of one picture, on the CPU.
        image_id: The picture's COCO id.
        file_name: The picture's name, which every row has next to the id.
        category_ids: From contiguous class index to the data set's category id; a missing index becomes its
            number plus one, as COCO counts from one.

    Returns:
        Rows of image_id, file_name, category_id, segmentation (compressed RLE), bbox (x, y, width,
        height in pixels) and score.
    """
    rows = instances_to_coco_json(instances, 0)
    for row in rows:
        row["image_id"], row["file_name"] = image_id, file_name
        row["category_id"] = category_ids.get(row["category_id"], row["category_id"] + 1)
        row["bbox"] = [round(value, 2) for value in row["bbox"]]
    return rows


def labelme_content(instances: Instances, path: str, class_names: Sequence[str]) -> dict:
    """Returns the content of a LabelMe file: polygons, or rectangles without masks.

    Args:
        instances: Results of one picture, on the CPU.
        path: The picture's file.
        class_names: The name of each instance's class.
    """
    height, width = instances.image_size
    shapes = []
    for index, (name, rings) in enumerate(zip(class_names, _outlines(instances), strict=True)):
        kind = "polygon" if instances.has("pred_masks") else "rectangle"
        for ring in rings:
            points = ring[[0, 2]] if kind == "rectangle" else ring
            shapes.append(
                {"label": name, "points": points.tolist(), "group_id": index, "shape_type": kind, "flags": {}}
            )
    return {
        "version": _LABELME_VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": path,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }


def yolo_lines(instances: Instances) -> list[str]:
    """Returns the lines of a YOLO label file: class index, then a polygon, or a box without masks.

    A polygon is x, y, x, y, ...; a box is center x, center y, width, height. All are shares of width and
    height. Instances without a pixel have no line.

    Args:
        instances: Results of one picture, on the CPU.
    """
    size = np.array(instances.image_size[::-1], np.float64)
    lines = []
    for index, rings in zip(instances.pred_classes.tolist(), _outlines(instances), strict=True):
        if not rings:
            continue
        if instances.has("pred_masks"):
            numbers = join_rings(rings) / size
        else:
            first, last = rings[0][[0, 2]] / size
            numbers = np.stack([(first + last) / 2, last - first])
        lines.append(" ".join([str(index), *(f"{share:.{_DIGITS}g}" for share in numbers.flat)]))
    return lines


def cut_out(picture: np.ndarray, boxes: np.ndarray, masks: np.ndarray | None = None) -> list[np.ndarray]:
    """Cuts boxes out of a picture.

    Args:
        picture: RGB uint8 (H, W, 3).
        boxes: (N, 4) XYXY in pixels; a pixel that a box touches is in it.
        masks: (N, H, W) bool; pixels outside become black. None keeps them.

    Returns:
        N new arrays (h, w, 3); 0 x 0 for an empty box.
    """
    height, width = picture.shape[:2]
    crops = []
    for index, (left, top, right, bottom) in enumerate(boxes.astype(np.float64)):
        rows = slice(max(0, int(np.floor(top))), min(height, int(np.ceil(bottom))))
        columns = slice(max(0, int(np.floor(left))), min(width, int(np.ceil(right))))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            rows = columns = slice(0, 0)
        crop = picture[rows, columns].copy()
        if masks is not None:
            crop[~masks[index][rows, columns]] = 0
        crops.append(crop)
    return crops


def dense_masks(instances: Instances) -> np.ndarray | None:
    """Returns the masks as (N, H, W) bool; None for a model of boxes only."""
    if not instances.has("pred_masks"):
        return None
    masks = instances.pred_masks
    return torch.as_tensor(getattr(masks, "tensor", masks)).cpu().numpy().astype(bool)


def _outlines(instances: Instances) -> list[list[np.ndarray]]:
    """Returns each instance's rings, (n, 2) x and y in pixels: its mask's outlines, or its box's corners."""
    masks = dense_masks(instances)
    if masks is not None:
        return [trace(mask) for mask in masks]
    corners = instances.pred_boxes.tensor.numpy().astype(np.float64)[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    return [[ring] for ring in corners]


def trace(mask: np.ndarray) -> list[np.ndarray]:
    """Returns the outer outline of each part of a mask.

    The points are the centers of border pixels, as tools fill polygons with their border. A part of one
    pixel, or a line between two, has the hull of these pixels' corners instead.

    Args:
        mask: (H, W) bool.

    Returns:
        One (n, 2) float64 array of x and y in pixels per part, n >= 3.
    """
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    rings = []
    for contour in found:
        points = contour.reshape(-1, 2).astype(np.float64)
        if len(points) < 3:
            corners = (points[:, None] + _PIXEL).reshape(-1, 2).astype(np.float32)
            rings.append(cv2.convexHull(corners).reshape(-1, 2).astype(np.float64))
        else:
            rings.append(points + _CENTER)
    return rings


def join_rings(rings: Sequence[np.ndarray]) -> np.ndarray:
    """Joins rings to one through bridges of no width, between their nearest points.

    Args:
        rings: (n, 2) arrays of x and y.

    Returns:
        (m, 2), which encloses the same points.
    """
    joined = rings[0]
    for ring in rings[1:]:
        distances = ((joined[:, None] - ring[None]) ** 2).sum(2)
        here, there = np.unravel_index(distances.argmin(), distances.shape)
        detour = [*ring[there:], *ring[: there + 1]]
        joined = np.array([*joined[: here + 1], *detour, *joined[here:]])
    return joined
