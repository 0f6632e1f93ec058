"""SOLOv2's target assignment and post-processing against straightforward loops, in one run.

    python benchmarks/bench_solov2.py
    python benchmarks/bench_solov2.py --repeats 11 --json rows.json

The baselines do what the method's text says, one instance, level, cell and candidate at a time, with the
usual tools (OpenCV resizing, tensor operations per mask); results of both are compared before timing.
"""

import subprocess
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from timing import median_ms, parse_args, report, row

from solo_d2.config import get_cfg
from solo_d2.methods.grid.cell_masks import dynamic_conv
from solo_d2.methods.grid.layout import GridLayout
from solo_d2.methods.grid.postprocess import GridPostprocessor
from solo_d2.methods.grid.targets import assign_grid_targets
from solo_d2.ops import matrix_nms
from solo_d2.utils.settings import build

LAYOUT = GridLayout.from_lists(
    [8, 8, 16, 32, 32],
    [40, 36, 24, 16, 12],
    [(1, 96), (48, 192), (96, 384), (192, 768), (384, 2048)],
)
make_postprocessor = partial(
    build, GridPostprocessor, get_cfg(), "MODEL.SOLOV2", mask_stride=4, with_masks=True
)
NUM_CLASSES = 80
OPTIONS = {"num_classes": NUM_CLASSES, "sigma": 0.2, "mask_strides": (4,), "share_cells": True}
SIZE = (800, 1216)
NUM_INSTANCES, NUM_CANDIDATES, NUM_SURVIVORS = 50, 500, 100
LARGE_SIZE = (1600, 2400)
MEMORY_LIMIT_MB = 2000


def make_ground_truth() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ellipses from 20 to 500 pixels: boxes (N, 4), classes (N,), masks (N, H, W)."""
    rng = np.random.default_rng(0)
    masks, boxes = [], []
    for _ in range(NUM_INSTANCES):
        rx, ry = np.exp(rng.uniform(np.log(10), np.log(250), 2))
        cx, cy = rng.uniform(0.2, 0.8) * SIZE[1], rng.uniform(0.2, 0.8) * SIZE[0]
        mask = np.zeros(SIZE, np.uint8)
        cv2.ellipse(mask, (int(cx), int(cy)), (int(rx), int(ry)), 0, 0, 360, 1, -1)
        rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
        boxes.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        masks.append(mask.astype(bool))
    return (
        torch.tensor(boxes, dtype=torch.float32),
        torch.from_numpy(rng.integers(0, NUM_CLASSES, NUM_INSTANCES)),
        torch.from_numpy(np.stack(masks)),
    )


def assign_by_loops(boxes, classes, masks) -> tuple[list, list]:
    """Targets one level, instance and cell at a time."""
    labels, mask_targets = [], []
    y_index = torch.arange(SIZE[0], dtype=torch.float32)[:, None]
    x_index = torch.arange(SIZE[1], dtype=torch.float32)[None]
    for level in LAYOUT.levels:
        grid = level.num_grid
        level_labels = torch.full((grid, grid), NUM_CLASSES)
        level_masks = []
        for box, label, mask in zip(boxes, classes, masks, strict=True):
            width, height = box[2] - box[0], box[3] - box[1]
            scale = float((width * height).sqrt())
            if not level.scale_range[0] <= scale <= level.scale_range[1] or not mask.any():
                continue
            area = mask.sum().float()
            cx, cy = float((mask * x_index).sum() / area), float((mask * y_index).sum() / area)
            half_w, half_h = 0.1 * float(width), 0.1 * float(height)
            column, line = int(cx / SIZE[1] * grid), int(cy / SIZE[0] * grid)
            top = max(0, int((cy - half_h) / SIZE[0] * grid), line - 1)
            bottom = min(grid - 1, int((cy + half_h) / SIZE[0] * grid), line + 1)
            left = max(0, int((cx - half_w) / SIZE[1] * grid), column - 1)
            right = min(grid - 1, int((cx + half_w) / SIZE[1] * grid), column + 1)
            small = cv2.resize(mask.numpy().astype(np.uint8), (SIZE[1] // 4, SIZE[0] // 4))
            for r in range(top, bottom + 1):
                for c in range(left, right + 1):
                    level_labels[r, c] = label
                    level_masks.append(torch.from_numpy(small.copy()))
        labels.append(level_labels)
        mask_targets.append(level_masks)
    return labels, mask_targets


def assign_ours(boxes, classes, masks):
    feature_size = (SIZE[0] // 4, SIZE[1] // 4)
    return assign_grid_targets(LAYOUT, [boxes], [classes], [masks], feature_size, **OPTIONS)


def make_predictions(size: tuple[int, int], num_candidates: int):
    """Category scores (K, 80), kernels (K, 256) and a mask feature that give blob-shaped masks."""
    generator = torch.Generator().manual_seed(0)
    h, w = size[0] // 4, size[1] // 4
    feature = F.interpolate(torch.randn(1, 256, 12, 18, generator=generator), size=(h, w), mode="bicubic")[
        0
    ].relu()
    kernels = torch.randn(LAYOUT.num_cells, 256, generator=generator) * 0.5
    scores = torch.zeros(LAYOUT.num_cells, NUM_CLASSES)
    cells = torch.randperm(LAYOUT.num_cells, generator=generator)[:num_candidates]
    classes = torch.randint(NUM_CLASSES, (num_candidates,), generator=generator)
    scores[cells, classes] = 0.2 + 0.8 * torch.rand(num_candidates, generator=generator)
    return scores, kernels, feature


def infer_ours(inference, scores, kernels, feature, size):
    return inference(
        scores,
        lambda cells: dynamic_conv(feature, kernels[cells]).sigmoid(),
        tuple(feature.shape[-2:]),
        LAYOUT.cell_strides(scores.device),
        size,
        size,
    )


def infer_by_loops(inference, scores, kernels, feature, size):
    """Inference one candidate and one pair of masks' row at a time, all masks kept."""
    strides = LAYOUT.cell_strides(scores.device)
    candidates = []
    for cell, category in (scores > inference.score_thr).nonzero().tolist():
        soft = F.conv2d(feature[None], kernels[cell][None, :, None, None])[0, 0].sigmoid()
        hard = soft > inference.mask_thr
        area = hard.sum()
        if area <= strides[cell]:
            continue
        maskness = (soft * hard).sum() / area
        candidates.append((float(scores[cell, category] * maskness), category, soft, hard))
    candidates.sort(key=lambda candidate: -candidate[0])
    candidates = candidates[: inference.nms_pre]
    hard = torch.stack([c[3] for c in candidates])
    labels = torch.tensor([c[1] for c in candidates])
    decayed = matrix_nms(hard, labels, torch.tensor([c[0] for c in candidates]))
    order = decayed.argsort(descending=True)[: inference.max_per_img]
    masks = []
    for i in order[decayed[order] >= inference.update_thr].tolist():
        full = F.interpolate(candidates[i][2][None, None], size=size, mode="bilinear")
        masks.append(full[0, 0] > inference.mask_thr)
    return torch.stack(masks)


def infer_at_once(inference, scores, kernels, feature, size):
    """Inference as the public code does it: whole-batch tensors, every mask kept as floats."""
    strides = LAYOUT.cell_strides(scores.device)
    cell, category = (scores > inference.score_thr).nonzero(as_tuple=True)
    soft = F.conv2d(feature[None], kernels[cell][:, :, None, None])[0].sigmoid()
    hard = soft > inference.mask_thr
    area = hard.sum((1, 2)).float()
    kept = area > strides[cell]
    soft, hard, area, cell, category = soft[kept], hard[kept], area[kept], cell[kept], category[kept]
    maskness = (soft * hard.float()).sum((1, 2)) / area
    candidate_scores = scores[cell, category] * maskness
    order = candidate_scores.argsort(descending=True)[: inference.nms_pre]
    soft, hard, category = soft[order], hard[order], category[order]
    flat = hard.flatten(1).float()
    intersection = flat @ flat.T
    area = flat.sum(1)
    iou = (intersection / (area[:, None] + area - intersection)).triu(1)
    iou = iou * (category[:, None] == category).float()
    compensation = iou.max(0).values[:, None]
    decay = torch.exp(-2.0 * (iou**2 - compensation**2)).min(0).values
    decayed = candidate_scores[order] * decay
    best = decayed.argsort(descending=True)[: inference.max_per_img]
    best = best[decayed[best] >= inference.update_thr]
    full = F.interpolate(soft[best][None], size=size, mode="bilinear")
    full = F.interpolate(full, size=size, mode="bilinear")
    return full[0] > inference.mask_thr


def peak_memory_mb() -> float:
    """Extra peak memory, in MB, of a large image on which every cell fires (Linux)."""
    scores, kernels, feature = make_predictions(LARGE_SIZE, LAYOUT.num_cells)

    def peak_kb() -> int:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0])

    before = peak_kb()
    infer_ours(make_postprocessor(), scores, kernels, feature, LARGE_SIZE)
    return (peak_kb() - before) / 1024


def main() -> None:
    if sys.argv[1:] == ["--peak-memory"]:
        print(peak_memory_mb())
        return
    args = parse_args(__doc__.split("\n")[0])
    ground_truth = make_ground_truth()
    ours, (labels, masks) = assign_ours(*ground_truth), assign_by_loops(*ground_truth)
    assert torch.equal(ours.labels[0], torch.cat([x.flatten() for x in labels]))
    assert len(ours.positive_cell) == sum(map(len, masks))
    rows = [
        row(
            "target assignment, 50 instances, 800x1216",
            median_ms(lambda: assign_ours(*ground_truth), args.repeats),
            median_ms(lambda: assign_by_loops(*ground_truth), max(args.repeats // 2, 1)),
            "ms",
        )
    ]

    inference = make_postprocessor(update_thr=0.0, max_per_img=NUM_SURVIVORS)
    predictions = make_predictions(SIZE, NUM_CANDIDATES)
    result = infer_ours(inference, *predictions, SIZE)
    for name, baseline, repeats in (
        ("one candidate at a time", infer_by_loops, 1),
        ("all candidates at once, as the public code", infer_at_once, args.repeats),
    ):
        masks = baseline(inference, *predictions, SIZE)
        assert len(result) == len(masks) == NUM_SURVIVORS
        assert (result.pred_masks != masks).float().mean() < 1e-4
        rows.append(
            row(
                f"post-processing, 500 candidates, 100 survivors, 800x1216; baseline: {name}",
                median_ms(lambda: infer_ours(inference, *predictions, SIZE), args.repeats),
                median_ms(lambda run=baseline: run(inference, *predictions, SIZE), repeats),
                "ms",
            )
        )
    # In a process of its own, because a process's peak memory never falls.
    peak = subprocess.run(
        [sys.executable, __file__, "--peak-memory"], capture_output=True, text=True, check=True
    )
    rows.append(
        row(
            "extra memory, 1600x2400, all 3872 cells above the threshold (baseline: the limit)",
            float(peak.stdout.split()[-1]),
            MEMORY_LIMIT_MB,
            "MB",
        )
    )
    report(rows, args.json)


if __name__ == "__main__":
    with torch.no_grad():
        main()
