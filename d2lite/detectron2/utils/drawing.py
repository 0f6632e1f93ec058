"""Filled masks, contours, boxes and labels on an RGB canvas.

OpenCV draws masks and lines, Pillow draws text. All coordinates are canvas pixels (x to the right, y
down), colors RGB in [0, 1]; the canvas (H, W, 3) uint8 is changed in place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

_SUBPIXEL_BITS = 4  # OpenCV's coordinates are in 1/16 pixel
_CONTOUR_TOLERANCE = 0.75  # pixels; smooths the steps of a mask's border
_SMOOTHING = 0.5  # source pixels; standard deviation of the blur of an enlarged mask
_LABEL_PADDING = 0.22  # of the font's size
_LABEL_BACKGROUND = (12, 12, 16, 176)  # RGBA
_LABEL_LUMINANCE = 0.72
_LUMA_RGB = (0.299, 0.587, 0.114)  # ITU-R BT.601


Color = Sequence[float] | np.ndarray
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Label:
    """A text and the possible places of its upper left corner, best first."""

    text: str
    places: tuple[tuple[float, float], ...]
    color: tuple[float, ...]
    font_px: int


def _to_uint8(color: Color) -> tuple[int, ...]:
    return tuple(int(round(255 * float(c))) for c in color)


def lighten(color: Color, luminance: float = _LABEL_LUMINANCE) -> tuple[float, ...]:
    """Mixes a color with white until it reaches a luminance (0: black, 1: white)."""
    color = np.asarray(color, dtype=np.float64)
    own = float(color @ _LUMA_RGB)
    white = max(0.0, (luminance - own) / (1 - own)) if own < 1 else 0.0
    return tuple((color * (1 - white) + white).tolist())


def fill_mask(
    canvas: np.ndarray, mask: np.ndarray, color: Color, alpha: float, edge_color: Color, line_px: int
) -> None:
    """Tints a mask and draws its contour, including holes.

    Args:
        canvas: (H, W, 3) uint8.
        mask: (h, w) bool, resized to the canvas if its size differs.
        color: Color of the tint.
        alpha: Opacity of the tint; 1 hides the image.
        edge_color: Color of the contour.
        line_px: Width of the contour.
    """
    mask = _fit(np.ascontiguousarray(mask, dtype=np.uint8), *canvas.shape[:2])
    x, y, w, h = cv2.boundingRect(mask)
    if w == 0 or h == 0:
        return
    part, inside = canvas[y : y + h, x : x + w], mask[y : y + h, x : x + w]
    tint = np.full_like(part, _to_uint8(color))
    blended = cv2.addWeighted(part, 1 - alpha, tint, alpha, 0)
    part[:] = np.where(inside[:, :, None] > 0, blended, part)

    margin = line_px + 1  # moves the contour outside the canvas where the mask touches its border
    padded = cv2.copyMakeBorder(mask, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    found, _ = cv2.findContours(padded, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(-margin, -margin))
    contours = [cv2.approxPolyDP(c, _CONTOUR_TOLERANCE, closed=True) for c in found]
    cv2.polylines(canvas, contours, True, _to_uint8(edge_color), line_px, cv2.LINE_AA)


def _fit(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes a 0/1 mask to the canvas; enlarged masks get smooth borders instead of steps."""
    if mask.shape == (height, width):
        return mask
    enlarged = width / mask.shape[1]
    soft = cv2.resize(mask * 255, (width, height), interpolation=cv2.INTER_LINEAR)
    if enlarged > 1:
        soft = cv2.GaussianBlur(soft, (0, 0), _SMOOTHING * enlarged)
    return (soft > 127).astype(np.uint8)


def draw_lines(canvas: np.ndarray, points: np.ndarray, color: Color, line_px: int) -> None:
    """Draws the closed polygon through points (N, 2) of float x, y."""
    fixed = np.round(np.asarray(points) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.polylines(canvas, [fixed[:, None]], True, _to_uint8(color), line_px, cv2.LINE_AA, _SUBPIXEL_BITS)


@lru_cache(maxsize=32)
def _font(font_px: int) -> Any:
    return ImageFont.load_default(size=font_px)


@lru_cache(maxsize=4096)
def text_size(text: str, font_px: int) -> tuple[int, int]:
    """Returns (width, height) of a label with its background."""
    ascent, descent = _font(font_px).getmetrics()
    padding = 2 * round(font_px * _LABEL_PADDING)
    return round(_font(font_px).getlength(text)) + padding, ascent + descent + padding // 2


def _overlap(a: Box, taken: list[Box]) -> float:
    """Returns the area that a box (x0, y0, x1, y1) shares with boxes already placed."""
    return sum(
        max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
        for b in taken
    )


def _place(label: Label, canvas_size: tuple[int, int], taken: list[Box]) -> Box:
    """Returns the label's box (x0, y0, x1, y1) inside the canvas with the least overlap."""
    height, width = canvas_size
    w, h = text_size(label.text, label.font_px)
    boxes = []
    for x, y in label.places:
        x = min(max(x, 0), max(width - w, 0))
        y = min(max(y, 0), max(height - h, 0))
        boxes.append((x, y, x + w, y + h))
    return min(boxes, key=lambda box: _overlap(box, taken))  # the first of equals


def draw_labels(canvas: np.ndarray, labels: list[Label]) -> None:
    """Draws texts on dark, rounded backgrounds inside the canvas, without overlap if possible."""
    if not labels:
        return
    picture = Image.fromarray(canvas)
    pen = ImageDraw.Draw(picture, "RGBA")
    height, width = canvas.shape[:2]
    taken: list[Box] = []
    for label in labels:
        box = _place(label, (height, width), taken)
        taken.append(box)
        padding = round(label.font_px * _LABEL_PADDING)
        pen.rounded_rectangle(box, radius=padding, fill=_LABEL_BACKGROUND)
        pen.text(
            (box[0] + padding, box[1] + padding / 2),
            label.text,
            fill=_to_uint8(lighten(label.color)),
            font=_font(label.font_px),
        )
    canvas[:] = np.asarray(picture)
