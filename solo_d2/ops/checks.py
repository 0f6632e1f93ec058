"""Checks of the operators' inputs, with one-line errors. ``csrc/checks.h`` has the same checks.

Wrappers, references and shape functions all call them. So an operator that is called directly, on any device,
with or without compiled kernels, never reads or writes out of bounds.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from solo_d2.utils.errors import InputError

DECAY_KERNELS = ("gaussian", "linear")
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
WHOLE = (torch.int64,)
# Maximum coordinate, whose areas float32 holds easily.
_LARGEST_COORDINATE = 1e9
# float32 counts pixels exactly up to here.
_LARGEST_SIDE = 1 << 24


def check_dense_masks(masks: Tensor, dtypes: tuple[torch.dtype, ...]) -> None:
    """Raises an InputError unless masks are (N, H, W), strided and of one of the dtypes."""
    if masks.dim() != 3:
        raise InputError(f"masks must be (N, H, W), not {tuple(masks.shape)}")
    _check_layout(masks, "masks")
    if masks.dtype not in dtypes:
        kinds = "floating" if dtypes is FLOATS else "bool, uint8 or floating"
        raise InputError(f"masks must be {kinds}, not {masks.dtype}")


def check_masks(masks: Tensor, labels: Tensor | None, threshold: float = 0.5) -> None:
    """Raises an InputError unless masks are dense or packed, and the labels fit them."""
    packed = masks.dtype == torch.int64
    known = packed or masks.dtype in (*FLOATS, torch.bool, torch.uint8)
    if not known or masks.dim() != (2 if packed else 3) or masks.layout != torch.strided:
        raise InputError(
            "masks must be dense, (N, H, W) bool, uint8 or floating, or the (N, W) int64 bits of pack_masks, "
            f"not {tuple(masks.shape)} {masks.dtype}"
        )
    check_number("threshold", threshold)
    if labels is not None:
        check_labels(labels, masks, "masks")


def check_labels(labels: Tensor, items: Tensor, name: str) -> None:
    """Raises an InputError unless there is one integer label per item, on the items' device."""
    if labels.shape != items.shape[:1]:
        raise InputError(f"labels must be ({items.shape[0]},) like the {name}, not {tuple(labels.shape)}")
    if labels.dtype not in (torch.int32, torch.int64):
        raise InputError(f"labels must be int32 or int64, not {labels.dtype}")
    _check_layout(labels, "labels")
    _check_device(labels, "labels", items, name)


def check_scores(scores: Tensor, masks: Tensor) -> None:
    """Raises an InputError unless there is one floating score per mask, on the masks' device."""
    if scores.shape != masks.shape[:1] or scores.dtype not in FLOATS:
        raise InputError(
            f"scores must be ({masks.shape[0]},) like the masks and floating, "
            f"not {tuple(scores.shape)} {scores.dtype}"
        )
    _check_layout(scores, "scores")
    _check_device(scores, "scores", masks, "masks")


def check_decay(kernel: str, sigma: float) -> None:
    """Raises an InputError unless the kernel is known and sigma is finite and at least 0."""
    if kernel not in DECAY_KERNELS:
        raise InputError(f"NMS kernel must be 'gaussian' or 'linear', not {kernel!r}")
    if not (math.isfinite(sigma) and sigma >= 0):
        raise InputError(f"sigma must be a finite number of at least 0, not {sigma}")


def check_number(name: str, value: float) -> None:
    """Raises an InputError if a value, such as a threshold, is NaN."""
    if math.isnan(value):
        raise InputError(f"{name} must be a number, not NaN")


def check_iou_threshold(value: float) -> None:
    """Raises an InputError if a threshold of IoUs is NaN, or negative: all would suppress all."""
    if not value >= 0:
        raise InputError(f"iou_threshold must be a number of at least 0, not {value}")


def check_boxes(boxes: Tensor, labels: Tensor) -> None:
    """Raises an InputError unless boxes are (N, 4) floating XYXY, ordered and of sane size, with labels."""
    if boxes.dim() != 2 or boxes.shape[1] != 4 or boxes.dtype not in FLOATS:
        raise InputError(f"boxes must be (N, 4) and floating, not {tuple(boxes.shape)} {boxes.dtype}")
    check_labels(labels, boxes, "boxes")
    _check_layout(boxes, "boxes")
    check_values(boxes, "boxes")
    sane = (boxes.abs() <= _LARGEST_COORDINATE).all() & (boxes[:, 2:] >= boxes[:, :2]).all()
    if not sane:
        raise InputError(
            "boxes must be XYXY with x0 <= x1 and y0 <= y1, all within ±1e9; "
            "at least one is inverted, NaN or out of range"
        )


def check_restoring(
    masks: Tensor, threshold: float, image_size: Sequence[int], output_size: Sequence[int], stride: int
) -> None:
    """Raises an InputError unless masks are (N, h, w) floating and the sizes are possible for them."""
    check_dense_masks(masks, FLOATS)
    check_number("threshold", threshold)
    if stride < 1:
        raise InputError(f"stride must be at least 1, not {stride}")
    if len(image_size) != 2 or len(output_size) != 2:
        raise InputError("image_size and output_size must be (height, width)")
    for image, output, covered in zip(image_size, output_size, masks.shape[1:], strict=True):
        if not 1 <= image <= covered * stride <= _LARGEST_SIDE:
            raise InputError(
                "image_size must be within 1 and the masks' size times stride, at most 2^24, not "
                f"{tuple(image_size)} for masks of {tuple(masks.shape[1:])} and stride {stride}"
            )
        if not 1 <= output <= _LARGEST_SIDE:
            raise InputError(f"output_size must be within 1 and 2^24, not {tuple(output_size)}")


def check_encoding(masks: Tensor, boxes: Tensor | None, dtypes: tuple[torch.dtype, ...] = WHOLE) -> None:
    """Raises an InputError unless masks are (N, H, W) bool or uint8, fit COCO's RLE, and boxes fit them."""
    if masks.dim() != 3 or masks.dtype not in (torch.bool, torch.uint8):
        raise InputError(f"masks must be (N, H, W) bool or uint8, not {tuple(masks.shape)} {masks.dtype}")
    _check_layout(masks, "masks")
    check_values(masks, "masks")
    _check_pixels(masks.shape[1], masks.shape[2])
    if boxes is None:
        return
    if boxes.shape != (masks.shape[0], 4) or boxes.dtype not in dtypes:
        kinds = "int64" if dtypes is WHOLE else "int32, int64 or floating"
        raise InputError(
            f"boxes must be ({masks.shape[0]}, 4) like the masks and {kinds}, "
            f"not {tuple(boxes.shape)} {boxes.dtype}"
        )
    _check_layout(boxes, "boxes")
    check_values(boxes, "boxes")


def check_crops(words: Tensor, frames: Tensor, height: int, width: int) -> None:
    """Raises an InputError unless words and frames are valid crops of this size."""
    _check_pixels(height, width)
    if words.dim() != 1 or words.dtype != torch.int64:
        raise InputError(f"words must be (K,) int64, not {tuple(words.shape)} {words.dtype}")
    if frames.dim() != 2 or frames.shape[1] != 4 or frames.dtype != torch.int64:
        raise InputError(f"frames must be (N, 4) int64, not {tuple(frames.shape)} {frames.dtype}")
    for tensor, name in ((words, "words"), (frames, "frames")):
        _check_layout(tensor, name)
        check_values(tensor, name)


def check_values(tensor: Tensor, name: str) -> None:
    """Raises an InputError for a tensor without values: the result's shape depends on them."""
    if tensor.device.type == "meta":
        raise InputError(
            f"{name} are on meta, but this operator needs their values: move them to a CPU or GPU"
        )


def _check_layout(tensor: Tensor, name: str) -> None:
    if tensor.layout != torch.strided:
        raise InputError(f"{name} must be dense, not {tensor.layout}")


def _check_pixels(height: int, width: int) -> None:
    if height < 0 or width < 0 or height * width >= 1 << 32:
        raise InputError(f"COCO's RLE takes masks of at most 2^32 - 1 pixels, not {height} x {width}")


def _check_device(tensor: Tensor, name: str, like: Tensor, like_name: str) -> None:
    if tensor.device != like.device:
        raise InputError(f"{name} are on {tensor.device}, {like_name} on {like.device}: move them together")
