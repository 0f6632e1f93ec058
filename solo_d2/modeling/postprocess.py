"""Conversion of masks at feature resolution to Detectron2 ``Instances`` at image resolution.

Soft masks are large, so they are computed in chunks, and only packed bits are kept.

M: results; h, w: mask feature size; all sizes are (height, width) in pixels.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from detectron2.structures import Boxes, Instances
from solo_d2.layers import restore_size
from solo_d2.ops import pack_masks, restore_masks
from solo_d2.structures import extent

# Maximum bytes of float32 soft masks in memory at a time.
_CHUNK_BYTES = 1 << 26


def pack_computed_masks(
    masks_of: Callable[[Tensor], Tensor],
    count: int,
    mask_size: tuple[int, int],
    threshold: float,
    device: torch.device,
) -> tuple[Tensor, Tensor, Tensor]:
    """Packs ``count`` soft masks without holding them all in memory.

    Args:
        masks_of: Maps positions, (n,) int64 in [0, count), to soft masks (n, h, w).
        count: Number of masks.
        mask_size: (h, w).
        threshold: Threshold of :func:`solo_d2.ops.pack_masks`.
        device: Device of the masks.

    Returns:
        ``bits`` (count, W) int64, ``area`` (count,) int64 and ``soft_sum`` (count,) float32.
    """
    chunk_length = max(_CHUNK_BYTES // (4 * mask_size[0] * mask_size[1]), 1)
    chunks = torch.arange(count, device=device).split(chunk_length)
    packed = [pack_masks(masks_of(index), threshold) for index in chunks]
    bits, area, soft_sum = (torch.cat(parts) for parts in zip(*packed, strict=True))
    return bits, area, soft_sum


def best_of(scores: Tensor, least: float, most: int) -> Tensor:
    """Returns the indices (n,) int64 of the ``most`` highest scores that are at least ``least``, best first.

    Args:
        scores: (N,); equal ones keep their order.
        least: Minimum score, inclusive.
        most: Maximum number.
    """
    best = scores.argsort(descending=True, stable=True)[:most]
    return best[scores[best] >= least]


def build_instances(
    soft_masks: Tensor | None,
    scores: Tensor,
    classes: Tensor,
    *,
    image_size: tuple[int, int],
    output_size: tuple[int, int],
    mask_stride: int,
    threshold: float,
    with_masks: bool = True,
    boxes: Tensor | None = None,
    aligned: bool = False,
) -> Instances:
    """Builds results for one image.

    Args:
        soft_masks: (M, h, w) float in [0, 1] over the padded network input; None if ``boxes`` suffice.
        scores: (M,) float.
        classes: (M,) int64.
        image_size: Size of the network input without padding.
        output_size: Size of the results, the original image's.
        mask_stride: Network-input pixels per mask pixel.
        threshold: Mask pixels are strictly above it.
        with_masks: Whether to return ``pred_masks``; otherwise no mask is resized, and boxes come from
            :func:`boxes_from_soft_masks`.
        boxes: (M, 4) XYXY in output pixels; None for the masks' tight bounds.
        aligned: Whether to upsample with :func:`aligned_bilinear` instead of half-pixel centers.

    Returns:
        Instances with ``pred_masks`` (M, *output_size) bool, ``pred_boxes`` XYXY in output pixels, ``scores``
        and ``pred_classes``.
    """
    result = Instances(output_size)
    if with_masks:
        assert soft_masks is not None, "only results without masks can do without soft masks"
        restored = restore_masks(soft_masks, threshold, image_size, output_size, mask_stride, aligned)
        result.pred_masks = restored.masks
        boxes = restored.boxes if boxes is None else boxes
    elif boxes is None:
        assert soft_masks is not None, "boxes come from soft masks where none are given"
        boxes = boxes_from_soft_masks(soft_masks, image_size, output_size, mask_stride, threshold, aligned)
    result.pred_boxes = Boxes(boxes)
    result.scores = scores
    result.pred_classes = classes
    return result


def drop_wide(instances: Instances, max_box_width: float) -> Instances:
    """Drops empty instances and those at least as wide as ``max_box_width`` of the image.

    Args:
        instances: With ``pred_boxes``, XYXY in pixels of their ``image_size``.
        max_box_width: Fraction of the image width.

    Returns:
        The remaining instances, in their order.
    """
    x0, _, x1, _ = instances.pred_boxes.tensor.unbind(1)
    width = x1 - x0
    return instances[(width > 0) & (width < max_box_width * instances.image_size[1])]


def boxes_from_soft_masks(
    soft_masks: Tensor,
    image_size: tuple[int, int],
    output_size: tuple[int, int],
    mask_stride: int,
    threshold: float,
    aligned: bool = False,
) -> Tensor:
    """Computes boxes at output resolution by resizing maxima over rows and columns instead of masks.

    The maximum of interpolated values is at most the interpolated maximum, so the box covers the resized
    mask's box. It is larger only where a mask tapers off within a mask pixel.

    Args and frame as in :func:`build_instances`.

    Returns:
        (M, 4) float32 XYXY as of :func:`solo_d2.structures.boxes_from_masks`.
    """
    bounds = []
    for axis, reduced in ((1, 1), (0, 2)):  # x over the columns, y over the rows
        profile = restore_size(
            soft_masks.amax(reduced)[:, None, None],
            (1, image_size[axis]),
            (1, output_size[axis]),
            mask_stride,
            aligned=aligned,
        )
        bounds.append(extent(profile[:, 0, 0] > threshold))
    (x0, x1), (y0, y1) = bounds
    return torch.stack([x0, y0, x1, y1], dim=1).float()
