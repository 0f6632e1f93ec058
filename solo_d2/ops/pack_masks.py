"""Binary masks as bits, with area and soft sum, in one pass over the input.

N: masks; W: words of 64 pixels, ceil(H * W / 64).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import FLOATS, check_dense_masks, check_number

WORD_BITS = 64
# Pixels that the reference unpacks or thresholds at a time.
PIXELS_PER_BLOCK = 1 << 14

torch.library.define(
    "solo_d2::pack_masks", "(Tensor masks, float threshold) -> (Tensor bits, Tensor area, Tensor soft_sum)"
)


def pack_masks(masks: Tensor, threshold: float = 0.5) -> tuple[Tensor, Tensor, Tensor]:
    """Binarizes and packs masks; the result is all that Matrix NMS and mask scoring need.

    Args:
        masks: (N, H, W) bool or uint8, where anything but 0 is inside; or floating (probabilities or
            logits), inside where strictly above ``threshold``, compared in float32.
        threshold: In the units of ``masks``; ignored for bool and uint8.

    Returns:
        bits: (N, W) int64, pixel p of the flattened mask in bit p % 64 of word p // 64, the rest 0.
        area: (N,) int64, pixels inside.
        soft_sum: (N,) float32, the sum of the values inside (the area for bool and uint8);
            ``soft_sum / area`` is the maskness (SOLO paper, section 3.4). Differentiable.

    Raises:
        InputError: If the shape or dtype is not supported.
    """
    _check(masks, threshold)
    return torch.ops.solo_d2.pack_masks(masks, threshold)


def _check(masks: Tensor, threshold: float) -> None:
    check_dense_masks(masks, (*FLOATS, torch.bool, torch.uint8))
    check_number("threshold", threshold)


def reference(masks: Tensor, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    _check(masks, threshold)
    pixels = masks.flatten(1)
    bits, areas, sums = [], [], []
    for block in pixels.split(PIXELS_PER_BLOCK, dim=1):
        values = block.float()
        inside = values > threshold if masks.is_floating_point() else block != 0
        bits.append(pack_bits(inside))
        areas.append(inside.sum(1))
        sums.append(torch.where(inside, values if masks.is_floating_point() else 1.0, 0.0).sum(1))
    return torch.cat(bits, 1), torch.stack(areas).sum(0), torch.stack(sums).sum(0)


torch.library.impl("solo_d2::pack_masks", "default", reference)


@torch.library.register_fake("solo_d2::pack_masks")
def _fake(masks: Tensor, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    _check(masks, threshold)
    count, height, width = masks.shape
    words = (height * width + WORD_BITS - 1) // WORD_BITS
    return (
        masks.new_empty(count, words, dtype=torch.int64),
        masks.new_empty(count, dtype=torch.int64),
        masks.new_empty(count, dtype=torch.float32),
    )


def _save_bits(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[0], output[1])
    ctx.save_for_backward(output[0])
    ctx.shape, ctx.dtype = inputs[0].shape, inputs[0].dtype


def _backward(ctx: Any, grad_bits: None, grad_area: None, grad_soft_sum: Tensor) -> tuple[Tensor, None]:
    """Passes the soft sum's gradient to the pixels inside; the others have gradient 0."""
    (bits,) = ctx.saved_tensors
    _, height, width = ctx.shape
    inside = unpack_bits(bits)[:, : height * width].view(ctx.shape)
    return (inside * grad_soft_sum[:, None, None]).to(ctx.dtype), None


torch.library.register_autograd("solo_d2::pack_masks", _backward, setup_context=_save_bits)


def register_no_gradient(operator: str) -> None:
    """Marks all outputs of ``solo_d2::<operator>`` as non-differentiable.

    What is computed from thresholded masks alone is piecewise constant.
    """
    torch.library.register_autograd(f"solo_d2::{operator}", _give_none, setup_context=_mark_outputs)


def _mark_outputs(ctx: Any, inputs: tuple, output: Tensor | tuple[Tensor, ...]) -> None:
    ctx.mark_non_differentiable(*(output if isinstance(output, tuple) else (output,)))
    ctx.inputs = len(inputs)


def _give_none(ctx: Any, *grads: Tensor) -> tuple[None, ...]:
    return (None,) * ctx.inputs


def pack_bits(inside: Tensor) -> Tensor:
    """Packs (N, P) bool into (N, ceil(P / 64)) int64 words; bits after P are 0."""
    if not inside.numel():
        return inside.new_zeros(len(inside), -(-inside.shape[1] // WORD_BITS), dtype=torch.int64)
    padded = F.pad(inside.to(torch.uint8), (0, -inside.shape[1] % WORD_BITS))
    # Bytes of eight bits, viewed as words: on little-endian machines bit p of a word is pixel p.
    weights = 2 ** torch.arange(8, dtype=torch.uint8, device=inside.device)
    octets = (padded.unflatten(1, (-1, 8)) * weights).sum(2, dtype=torch.uint8)
    return octets.contiguous().view(torch.int64)


def unpack_bits(bits: Tensor) -> Tensor:
    """Unpacks (N, W) int64 words to (N, 64 * W) uint8 of 0 and 1."""
    shifts = torch.arange(8, dtype=torch.uint8, device=bits.device)
    octets = bits.flatten().view(torch.uint8).view(len(bits), 8 * bits.shape[1])
    return octets.unsqueeze(2).bitwise_right_shift(shifts).bitwise_and_(1).flatten(1)
