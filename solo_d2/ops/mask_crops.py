"""Binary masks as packed bits inside their frames, a compact form of N masks of H x W.

N: masks; H, W: their size; K: words of all crops.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from solo_d2.structures import boxes_from_masks

from .pack_masks import WORD_BITS, pack_bits, unpack_bits


@dataclass(frozen=True)
class MaskCrops:
    """Masks of one image, each as the bits of a frame that contains all its pixels.

    Attributes:
        words: (K,) int64, mask by mask and row by row. Column x of a frame is bit x % 64 of word x // 64 of
            its row, and every row starts with a new word.
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
