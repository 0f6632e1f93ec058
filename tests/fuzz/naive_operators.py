"""The operators of ``solo_d2.ops`` as loops over Python's numbers.

Masks are lists of N lists of rows of booleans; everything else is plain numbers, too.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

Masks = list[list[list[bool]]]


def single(value: float) -> float:
    """Rounds to float32, in which the operators compare."""
    return torch.tensor(value, dtype=torch.float64).float().item()


def binary(masks: Tensor, threshold: float) -> Masks:
    """Thresholds dense masks, or unpacks the bits of packed ones into one long row."""
    if masks.dtype == torch.int64:
        return [[[bool(word >> bit & 1) for word in row for bit in range(64)]] for row in masks.tolist()]
    if not masks.is_floating_point():
        return [[[value != 0 for value in row] for row in mask] for mask in masks.tolist()]
    limit = single(threshold)
    return [[[value > limit for value in row] for row in mask] for mask in masks.float().tolist()]


def pack(masks: Tensor, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    """Packs masks into words; the areas and the sums of the values inside follow."""
    words = -(-masks.shape[1] * masks.shape[2] // 64)
    rows, areas, sums = [], [], []
    for mask, values in zip(binary(masks, threshold), masks.float().flatten(1).tolist(), strict=True):
        inside = list(itertools.chain.from_iterable(mask))
        chunks = [inside[at : at + 64] for at in range(0, len(inside), 64)]
        bits = [sum(1 << bit for bit, true in enumerate(chunk) if true) for chunk in chunks]
        rows.append([word - (word >> 63 << 64) for word in bits])
        areas.append(sum(inside))
        chosen = [value for value, true in zip(values, inside, strict=True) if true]
        sums.append(sum(chosen) if masks.is_floating_point() else len(chosen))
    packed = torch.tensor(rows, dtype=torch.int64).reshape(len(rows), words)
    return packed, torch.tensor(areas, dtype=torch.int64), torch.tensor(sums, dtype=torch.float64).float()


def ious(masks: Tensor, labels: Tensor | None, threshold: float) -> list[list[float]]:
    """Computes the IoU of i < j of one class; 0 elsewhere."""
    flat = [list(itertools.chain.from_iterable(mask)) for mask in binary(masks, threshold)]
    classes = [0] * len(flat) if labels is None else labels.tolist()
    result = [[0.0] * len(flat) for _ in flat]
    for i, j in itertools.combinations(range(len(flat)), 2):
        common = sum(a and b for a, b in zip(flat[i], flat[j], strict=True))
        union = sum(a or b for a, b in zip(flat[i], flat[j], strict=True))
        if classes[i] == classes[j] and union:
            result[i][j] = common / union
    return result


def matrix_decay(iou: list[list[float]], kernel: str, sigma: float) -> list[float]:
    """Computes Matrix NMS's factors (SOLOv2 paper, section 2.2)."""
    worst = [max([iou[k][i] for k in range(i)], default=0.0) for i in range(len(iou))]
    factors = []
    for j in range(len(iou)):
        factor = 1.0
        for i in range(j):
            if kernel == "gaussian":
                own = math.exp(min(sigma * (worst[i] ** 2 - iou[i][j] ** 2), 0.0))
            elif iou[i][j] == 1:
                own = 0.0
            else:
                own = math.inf if worst[i] == 1 else (1 - iou[i][j]) / (1 - worst[i])
            factor = min(factor, own)
        factors.append(factor)
    return factors


def greedy(suppresses: list[list[bool]]) -> list[bool]:
    """Keeps an item unless a kept one before it suppresses it."""
    kept: list[bool] = []
    for j in range(len(suppresses)):
        kept.append(not any(kept[i] and suppresses[i][j] for i in range(j)))
    return kept


def soft_nms(
    iou: list[list[float]], scores: list[float], kernel: str, sigma: float, limit: float
) -> list[float]:
    """Lets the best item left decay all others left, until none is left."""
    scores, left = list(scores), list(range(len(scores)))
    while left:
        best = max(left, key=lambda index: scores[index])
        left.remove(best)
        for other in left:
            overlap = iou[min(best, other)][max(best, other)]
            linear = 1 - overlap if overlap > limit else 1.0
            scores[other] *= math.exp(-sigma * overlap**2) if kernel == "gaussian" else linear
    return scores


def box_suppression(boxes: Tensor, labels: Tensor, limit: float) -> tuple[list[list[bool]], bool]:
    """Tells which box suppresses which, and whether all are clear of the threshold by more than rounding."""
    corners, classes = boxes.float().tolist(), labels.tolist()
    result, clear = [[False] * len(corners) for _ in corners], True
    for i, j in itertools.product(range(len(corners)), repeat=2):
        a, b = corners[i], corners[j]
        sides = [min(a[k + 2], b[k + 2]) - max(a[k], b[k]) for k in (0, 1)]
        common = max(sides[0], 0) * max(sides[1], 0)
        union = sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)) - common
        result[i][j] = classes[i] == classes[j] and common > limit * union
        gap = abs(common - limit * union)
        clear &= not gap <= 1e-5 * union or boxes.frac().eq(0).all().item() and union < 2**24
    return result, clear


def _blend(position: float, size: int) -> tuple[int, int, float]:
    low = min(math.floor(position), size - 1)
    return low, min(low + 1, size - 1), min(position - low, 1.0)


def _taps(
    size: int, stride: int, image: int, output: int, resizes: bool, aligned: bool
) -> list[dict[int, float]]:
    """Returns the weights of the mask's values in every output position of one dimension, zeros too."""

    def upsampled(i: int) -> dict[int, float]:
        position = max(i - stride // 2, 0) / stride if aligned else max((i + 0.5) / stride - 0.5, 0)
        low, high, weight = _blend(position, size)
        return {low: 1.0} if low == high else {low: 1 - weight, high: weight}

    taps = []
    for i in range(output):
        if not resizes:
            taps.append(upsampled(i))
            continue
        low, high, weight = _blend(max((i + 0.5) * image / output - 0.5, 0), image)
        mixed: dict[int, float] = {}
        for where, factor in ((low, 1 - weight), (high, weight)):
            for place, own in upsampled(where).items():
                mixed[place] = mixed.get(place, 0.0) + factor * own
        taps.append(mixed)
    return taps


def restore(
    masks: Tensor, threshold: float, image: Sequence[int], output: Sequence[int], stride: int, aligned: bool
) -> tuple[Tensor, Tensor]:
    """Restores masks; the second result is False where rounding or infinite values may decide."""
    limit, resizes = single(threshold), tuple(image) != tuple(output)
    rows, columns = (
        _taps(masks.shape[axis + 1], stride, image[axis], output[axis], resizes, aligned) for axis in (0, 1)
    )
    found, sure = [], []
    for mask in masks.float().tolist():
        for row, column in itertools.product(rows, columns):
            parts = [(mask[y][x], a * b) for y, a in row.items() for x, b in column.items()]
            finite = all(math.isfinite(value) for value, _ in parts)
            value = math.fsum(value * weight for value, weight in parts) if finite else 0.0
            size = max(abs(limit), *(abs(value) for value, _ in parts))
            found.append(value > limit)
            sure.append(finite and (math.isinf(limit) or abs(value - limit) > 1e-5 * size))
    shape = (len(masks), *output)
    return torch.tensor(found, dtype=torch.bool).reshape(shape), torch.tensor(sure, dtype=torch.bool).reshape(
        shape
    )


def rle(mask: list[list[bool]], height: int, width: int) -> bytes:
    """Encodes one mask, given as rows, as COCO's text."""
    runs, last = [0], False
    for x, y in itertools.product(range(width), range(height)):
        if mask[y][x] != last:
            runs.append(0)
            last = mask[y][x]
        runs[-1] += 1
    text = bytearray()
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        while True:
            digit, value = value & 31, value >> 5
            more = value != (-1 if digit & 16 else 0)
            text.append(48 + digit + 32 * more)
            if not more:
                break
    return bytes(text)


def framed(masks: Tensor, boxes: list[list[float]] | None) -> Masks:
    """Returns binary masks without the pixels that touch no part of their boxes; NaN is the border."""
    result = []
    for index, mask in enumerate(binary(masks, 0.0)):
        x0, y0, x1, y1 = boxes[index] if boxes is not None else (-math.inf, -math.inf, math.inf, math.inf)
        rows = []
        for y, row in enumerate(mask):
            # "not <" lets NaN pass.
            high = not y + 1 <= y0 and not y >= y1
            rows.append([true and high and not x + 1 <= x0 and not x >= x1 for x, true in enumerate(row)])
        result.append(rows)
    return result


def crops(words: Tensor, frames: Tensor, height: int, width: int) -> tuple[Masks, int]:
    """Unpacks crops; the second result is the number of words that the frames need."""
    bits = [word >> bit & 1 for word in words.tolist() for bit in range(64)]
    masks, start = [], 0
    for frame in frames.tolist():
        left, right = (min(max(value, 0), width) for value in (frame[0], frame[2]))
        top, bottom = (min(max(value, 0), height) for value in (frame[1], frame[3]))
        mask = [[False] * width for _ in range(height)]
        row_bits = 64 * -(-max(right - left, 0) // 64)
        for y in range(top, bottom):
            for x in range(left, right):
                at = start + x - left
                mask[y][x] = at < len(bits) and bool(bits[at])
            start += row_bits
        masks.append(mask)
    return masks, start // 64
