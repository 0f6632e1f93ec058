"""Restores soft masks at feature size to binary masks at output size, in one pass and only where needed.

N: masks; h, w: their feature size; H, W: the output's size; K: words of all crops.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from solo_d2.layers import restore_size
from solo_d2.structures import boxes_from_masks

from .checks import check_restoring, check_values
from .pack_masks import WORD_BITS, pack_bits, register_no_gradient, unpack_bits


@dataclass(frozen=True)
class MaskCrops:
    """Masks of one image, each as the bits of a frame that holds all its pixels.

    Attributes:
        words: (K,) int64. Mask after mask, row after row; column x of a frame is bit x % 64 of the row's word
            x // 64, and a row starts with a new word.
        frames: (N, 4) int64 XYXY in pixels, the right and lower bounds one past the last; zeros for no pixel.
        size: H and W.
    """

    words: Tensor
    frames: Tensor
    size: tuple[int, int]

    @classmethod
    def from_masks(cls, masks: Tensor) -> "MaskCrops":
        """Packs (N, H, W) bool masks inside their tight boxes."""
        frames = boxes_from_masks(masks).long()
        words = [
            pack_bits(mask[top:bottom, left:right]).flatten()
            for mask, (left, top, right, bottom) in zip(masks, frames.tolist(), strict=True)
        ]
        packed = torch.cat(words) if words else frames.new_zeros(0)
        return cls(packed, frames, (masks.shape[1], masks.shape[2]))

    def __len__(self) -> int:
        return self.frames.shape[0]

    def dense(self) -> Tensor:
        """Returns the masks as (N, H, W) bool."""
        masks = self.words.new_zeros(len(self), *self.size, dtype=torch.bool)
        start = 0
        for mask, (left, top, right, bottom) in zip(masks, self.frames.tolist(), strict=True):
            width, height = max(right - left, 0), max(bottom - top, 0)
            row_words = -(-width // WORD_BITS)
            rows = self.words[start : start + height * row_words].view(height, row_words)
            mask[top:bottom, left:right] = unpack_bits(rows)[:, :width].bool()
            start += height * row_words
        return masks


# Maximum bytes of float32 soft masks at output size that the reference holds at a time.
_CHUNK_BYTES = 1 << 26
_ARGUMENTS = (
    "(Tensor masks, float threshold, SymInt[2] image_size, SymInt[2] output_size, int stride, "
    "bool aligned=False)"
)

torch.library.define("solo_d2::restore_masks", f"{_ARGUMENTS} -> (Tensor masks, Tensor boxes, Tensor areas)")
torch.library.define(
    "solo_d2::restore_crops", f"{_ARGUMENTS} -> (Tensor words, Tensor frames, Tensor boxes, Tensor areas)"
)


class RestoredMasks(NamedTuple):
    """Binary masks of an image with their measures.

    ``masks`` are (N, H, W) bool, or :class:`MaskCrops`; ``boxes`` (N, 4) float32 XYXY, those of
    :func:`solo_d2.structures.boxes_from_masks`; ``areas`` (N,) int64 pixels.
    """

    masks: Tensor | MaskCrops
    boxes: Tensor
    areas: Tensor


def restore_masks(
    masks: Tensor,
    threshold: float,
    image_size: tuple[int, int],
    output_size: tuple[int, int],
    stride: int,
    aligned: bool = False,
    crops: bool = False,
) -> RestoredMasks:
    """Upsamples masks to the padded network input, crops the padding, resizes to the output and thresholds.

    The steps are those of :func:`solo_d2.layers.restore_size`, in float32 and, on CPUs, with the same
    rounding. Pixels are computed only where their support has a value above the threshold. Memory is needed
    for the results only, and on Linux not even for pages of the results without a pixel.

    Args:
        masks: (N, h, w) floating, probabilities or logits, over the padded network input.
        threshold: Mask pixels are strictly above it.
        image_size: Height and width of the network input without padding.
        output_size: H and W of the results.
        stride: Network-input pixels per mask pixel.
        aligned: Whether to upsample with aligned corners instead of half-pixel centers.
        crops: Whether to return packed crops, one bit per pixel of the boxes, instead of (N, H, W) masks.

    Returns:
        The binary masks with boxes and areas, without gradients.

    Raises:
        InputError: If the shape, dtype or a size does not fit.
    """
    arguments = (masks, threshold, image_size, output_size, stride, aligned)
    check_restoring(*arguments[:5])
    if not crops:
        return RestoredMasks(*torch.ops.solo_d2.restore_masks(*arguments))
    words, frames, boxes, areas = torch.ops.solo_d2.restore_crops(*arguments)
    return RestoredMasks(MaskCrops(words, frames, (output_size[0], output_size[1])), boxes, areas)


def reference(
    masks: Tensor,
    threshold: float,
    image_size: Sequence[int],
    output_size: Sequence[int],
    stride: int,
    aligned: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    check_restoring(masks, threshold, image_size, output_size, stride)
    parts = list(_binary_chunks(masks, threshold, image_size, output_size, stride, aligned))
    result = torch.cat(parts)
    return result, boxes_from_masks(result), result.flatten(1).sum(1)


def reference_crops(
    masks: Tensor,
    threshold: float,
    image_size: Sequence[int],
    output_size: Sequence[int],
    stride: int,
    aligned: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    check_restoring(masks, threshold, image_size, output_size, stride)
    words, frames, areas = [], [], []
    for binary in _binary_chunks(masks, threshold, image_size, output_size, stride, aligned):
        crops = MaskCrops.from_masks(binary)
        words.append(crops.words)
        frames.append(crops.frames)
        areas.append(binary.flatten(1).sum(1))
    places = torch.cat(frames)
    return torch.cat(words), places, places.float(), torch.cat(areas)


def _binary_chunks(
    masks: Tensor,
    threshold: float,
    image_size: Sequence[int],
    output_size: Sequence[int],
    stride: int,
    aligned: bool,
) -> Iterator[Tensor]:
    """Yields the masks at output size, (n, H, W) bool, chunk by chunk."""
    pixels = max(masks.shape[1] * masks.shape[2] * stride**2, output_size[0] * output_size[1])
    if not masks.shape[0]:
        yield masks.new_zeros(0, *output_size, dtype=torch.bool)
        return
    for soft in masks.split(max(_CHUNK_BYTES // (4 * pixels), 1)):
        full = restore_size(soft.float()[:, None], image_size, output_size, stride, aligned=aligned)
        yield full[:, 0] > threshold


torch.library.impl("solo_d2::restore_masks", "default", reference)
torch.library.impl("solo_d2::restore_crops", "default", reference_crops)


@torch.library.register_fake("solo_d2::restore_masks")
def _fake(
    masks: Tensor,
    threshold: float,
    image_size: Sequence[int],
    output_size: Sequence[int],
    stride: int,
    aligned: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    check_restoring(masks, threshold, image_size, output_size, stride)
    count = masks.shape[0]
    return (
        masks.new_empty(count, *output_size, dtype=torch.bool),
        masks.new_empty(count, 4, dtype=torch.float32),
        masks.new_empty(count, dtype=torch.int64),
    )


@torch.library.register_fake("solo_d2::restore_crops")
def _fake_crops(
    masks: Tensor,
    threshold: float,
    image_size: Sequence[int],
    output_size: Sequence[int],
    stride: int,
    aligned: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    check_values(masks, "masks")
    _, boxes, areas = _fake(masks, threshold, image_size, output_size, stride, aligned)
    words = torch.library.get_ctx().new_dynamic_size()
    return areas.new_empty(words), torch.empty_like(boxes, dtype=torch.int64), boxes, areas


for _name in ("restore_masks", "restore_crops"):
    register_no_gradient(_name)
