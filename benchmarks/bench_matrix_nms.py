"""Matrix NMS: the operator against the published computation, a float matrix product, in one run.

    python benchmarks/bench_matrix_nms.py
    python benchmarks/bench_matrix_nms.py --quick --json rows.json

On a machine with a GPU the same cases run there too; benchmarks/gpu_matrix_nms.sh builds and checks first.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from memory import peak_extra_mb
from timing import report, row
from torch import Tensor

from solo_d2.ops import matrix_nms, pack_masks

SIZE = (200, 304)
COUNTS = (50, 100, 500, 1000, 2000)
SIZES = ((100, 152), SIZE, (200, 336), (400, 608))
LARGEST_CASE = 2000 * 200 * 336  # pixels; the baseline's floats take four bytes each
SIGMA = 2.0


def make_case(count: int, size: tuple[int, int], device: str) -> tuple[Tensor, Tensor]:
    """Returns overlapping soft discs, (count, h, w) float32, and descending scores; one class."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(*(torch.arange(float(side)) for side in size), indexing="ij")
    center = torch.rand(count, 2, generator=generator) * torch.tensor(size)
    radius = 4 + 40 * torch.rand(count, generator=generator)
    soft = torch.empty(count, *size)
    for mask, (cy, cx), r in zip(soft, center.tolist(), radius.tolist(), strict=True):
        mask.copy_(torch.sigmoid((r - torch.hypot(y - cy, x - cx)) / 2))
    return soft.to(device), torch.linspace(1, 0.1, count, device=device)


def published(masks: Tensor, scores: Tensor) -> Tensor:
    """Intersections by a product of the masks as floats, decay matrix, column minimum."""
    flat = masks.flatten(1).float()
    intersection = flat @ flat.T
    area = flat.sum(1)
    iou = (intersection / (area[:, None] + area - intersection)).triu(diagonal=1)
    compensation = iou.amax(0)[:, None]
    return scores * torch.exp(-SIGMA * (iou**2 - compensation**2)).amin(0)


def published_from_soft(soft: Tensor, scores: Tensor) -> Tensor:
    """Threshold, area, maskness and the above: each a pass over all pixels."""
    masks = soft > 0.5
    area = masks.sum((1, 2))
    maskness = (soft * masks).sum((1, 2)) / area.clamp(min=1)
    return published(masks, scores * maskness)


def fused_from_soft(soft: Tensor, scores: Tensor) -> Tensor:
    """One pass over the pixels, then bits only."""
    bits, area, soft_sum = pack_masks(soft)
    return matrix_nms(bits, None, scores * (soft_sum / area.clamp(min=1)), sigma=SIGMA)


def median_ms(function: Callable[[], object], repeats: int, device: str) -> float:
    """Median time of a call: wall clock on a CPU, events on a GPU."""
    for _ in range(2):
        function()
    times = []
    for _ in range(repeats):
        if device == "cuda":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            function()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end))
        else:
            start = time.perf_counter()
            function()
            times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def cases(quick: bool) -> Iterator[tuple[int, tuple[int, int]]]:
    """(N, size) of the sweep, or with ``quick`` of the two the project makes promises about."""
    if quick:
        yield from ((100, SIZE), (500, SIZE))
        return
    for size in SIZES:
        for count in COUNTS:
            if count * size[0] * size[1] <= LARGEST_CASE:
                yield count, size


def measure(device: str, repeats: int, quick: bool) -> list[dict]:
    """Checks and times every case; returns rows."""
    rows = []
    for count, size in cases(quick):
        soft, scores = make_case(count, size, device)
        ours_from_bool = partial(matrix_nms, soft > 0.5, None, scores, sigma=SIGMA)
        forms = {
            "bool": (ours_from_bool, partial(published, soft > 0.5, scores)),
            "soft": (partial(fused_from_soft, soft, scores), partial(published_from_soft, soft, scores)),
        }
        for form, (ours, baseline) in forms.items():
            torch.testing.assert_close(ours(), baseline(), atol=1e-5, rtol=0)
            name = f"{device}: {count} {form} masks at {size[0]}x{size[1]}"
            times = median_ms(ours, repeats, device), median_ms(baseline, repeats, device)
            rows.append(row(name, *times, "ms"))
    return rows


def memory_row(device: str) -> dict:
    """Extra memory of 500 bool masks."""
    soft, scores = make_case(500, SIZE, device)
    hard = soft > 0.5
    del soft
    ours = peak_extra_mb(lambda: matrix_nms(hard, None, scores), device)
    baseline = peak_extra_mb(lambda: published(hard, scores), device)
    return row(f"{device}: extra memory, 500 bool masks at 200x304", ours, baseline, "MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="timed calls per figure")
    parser.add_argument("--quick", action="store_true", help="N = 100 and 500 at 200x304 only")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    arguments = parser.parse_args()
    rows = []
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        rows += [memory_row(device), *measure(device, arguments.repeats, arguments.quick)]
    report(rows, arguments.json)


if __name__ == "__main__":
    main()
