"""COCO's run-length encoding, without a column-major copy and only inside the masks' frames.

N: masks; H, W: their size.
"""

import numpy as np
import pycocotools.mask as mask_util
import torch
from torch import Tensor

from solo_d2.utils.errors import InputError

from .checks import FLOATS, WHOLE, check_crops, check_encoding
from .pack_masks import WORD_BITS
from .restore_masks import MaskCrops

torch.library.define(
    "solo_d2::encode_masks", "(Tensor masks, Tensor? boxes=None) -> (Tensor characters, Tensor ends)"
)
torch.library.define(
    "solo_d2::encode_crops",
    "(Tensor words, Tensor frames, int height, int width) -> (Tensor characters, Tensor ends)",
)


def masks_to_rle(masks: Tensor | MaskCrops, boxes: Tensor | None = None) -> list[dict]:
    """Encodes masks as COCO's compressed RLE; the strings are those of pycocotools.

    Args:
        masks: (N, H, W) bool or uint8 (anything but 0 is inside), or crops.
        boxes: (N, 4) XYXY in pixels; only pixels inside are read, all others count as false. None reads all
            pixels once. Not allowed for crops, which have their own frames.

    Returns:
        N dicts of "size", [H, W], and "counts", bytes.

    Raises:
        InputError: If shapes or dtypes do not fit, or a mask has 2^32 pixels or more.
    """
    if isinstance(masks, MaskCrops):
        if boxes is not None:
            raise InputError("boxes and crops are mutually exclusive: crops have their own frames")
        height, width = masks.size
        check_crops(masks.words, masks.frames, height, width)
        encoded = torch.ops.solo_d2.encode_crops(masks.words.cpu(), masks.frames.cpu(), height, width)
    else:
        check_encoding(masks, boxes, (*FLOATS, *WHOLE, torch.int32))
        height, width = masks.shape[1:]
        frames = None if boxes is None else _frames(boxes, height, width)
        encoded = torch.ops.solo_d2.encode_masks(masks.cpu(), frames)
    characters, ends = encoded
    text = characters.numpy().tobytes()
    stops = ends.tolist()
    counts = [text[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]
    return [{"size": [height, width], "counts": count} for count in counts]


def _frames(boxes: Tensor, height: int, width: int) -> Tensor:
    """Rounds (N, 4) boxes outward to whole pixels, on the CPU; NaN becomes the border."""
    limit = torch.tensor([width, height, width, height])
    corners = boxes.detach().cpu().double()
    outward = torch.cat(
        [corners[:, :2].nan_to_num(0).floor(), corners[:, 2:].nan_to_num(torch.inf).ceil()], 1
    )
    return outward.clamp(min=0).minimum(limit).long()


def reference(masks: Tensor, boxes: Tensor | None = None) -> tuple[Tensor, Tensor]:
    check_encoding(masks, boxes)
    counts = []
    for i, mask in enumerate(masks):
        inside = mask != 0
        if boxes is not None:
            x0, y0, x1, y1 = boxes[i].clamp(min=0).tolist()
            framed = torch.zeros_like(inside)
            framed[y0:y1, x0:x1] = inside[y0:y1, x0:x1]
            inside = framed
        # COCO's runs go down the columns, so pycocotools takes column-major arrays.
        counts.append(mask_util.encode(np.asfortranarray(inside.cpu().numpy(), dtype=np.uint8))["counts"])
    # Operators return tensors only: all strings in one, and where each ends.
    ends = torch.tensor([len(count) for count in counts], dtype=torch.int64).cumsum(0)
    return torch.tensor(list(b"".join(counts)), dtype=torch.uint8), ends


def reference_crops(words: Tensor, frames: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    check_crops(words, frames, height, width)
    limit = torch.tensor([width, height, width, height], device=frames.device)
    places = frames.clamp(min=0).minimum(limit)
    columns, rows = (places[:, 2:] - places[:, :2]).clamp(min=0).unbind(1)
    needed = int((rows * ((columns + WORD_BITS - 1) // WORD_BITS)).sum())
    if needed != len(words):
        raise InputError(f"the frames need {needed} words, not {len(words)}")
    return reference(MaskCrops(words, places, (height, width)).dense())


torch.library.impl("solo_d2::encode_masks", "default", reference)
torch.library.impl("solo_d2::encode_crops", "default", reference_crops)


@torch.library.register_fake("solo_d2::encode_masks")
def _fake(masks: Tensor, boxes: Tensor | None = None) -> tuple[Tensor, Tensor]:
    check_encoding(masks, boxes)
    characters = torch.library.get_ctx().new_dynamic_size()
    return masks.new_empty(characters, dtype=torch.uint8), masks.new_empty(masks.shape[0], dtype=torch.int64)


@torch.library.register_fake("solo_d2::encode_crops")
def _fake_crops(words: Tensor, frames: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    check_crops(words, frames, height, width)
    characters = torch.library.get_ctx().new_dynamic_size()
    return words.new_empty(characters, dtype=torch.uint8), frames.new_empty(frames.shape[0])
