"""Masks at output size, and their RLE, against whole images at once.

    python benchmarks/bench_restore.py
    python benchmarks/bench_restore.py --json rows.json

"restore": soft masks of an 800 x 1216 network input, feature stride 4, to binary masks and boxes. The
baselines are the public form (upsample all, crop, resize all, threshold; no boxes) and this project's former
one (the same in chunks of 64 MB, with boxes). Pages without a pixel are never touched; rows "read" copy the
result. "rle": binary masks to COCO's text, against Detectron2's encoding, mask by mask. "crops" never make
N x H x W masks. Times are CPU times; results are compared before they are timed.
"""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pycocotools.mask as mask_util
import torch
import torch.nn.functional as F
from memory import peak_extra_mb
from timing import build_parser, interleaved_ms, report, row
from torch import Tensor

from detectron2.evaluation import coco_evaluation
from detectron2.structures import Boxes, Instances
from solo_d2.evaluation.coco_rows import instances_to_coco_json
from solo_d2.layers import restore_size
from solo_d2.ops import masks_to_rle, restore_masks
from solo_d2.structures import boxes_from_masks

IMAGE, STRIDE, THRESHOLD = (800, 1216), 4, 0.5
# Masks and output size. Whole images of 4000 x 6000 need 100 MB a mask and step in the public form.
CASES = ((100, (800, 1216)), (500, (800, 1216)), (100, (1080, 1620)), (10, (4000, 6000)))
RLE_CASES = ((100, (800, 1216)), (100, (1080, 1620)))


def soft_masks(count: int, seed: int = 0) -> Tensor:
    """Wavy ellipses at feature size, (count, 200, 304) in [0, 1]; an average box covers 6% of the image."""
    generator = torch.Generator().manual_seed(seed)
    height, width = IMAGE[0] // STRIDE, IMAGE[1] // STRIDE
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    masks = torch.empty(count, height, width)
    for mask in masks:
        center = torch.rand(2, generator=generator) * torch.tensor([height, width])
        radius = height * (0.04 + 0.3 * torch.rand(2, generator=generator) ** 2)
        dy, dx = y - center[0], x - center[1]
        border = 1 + 0.15 * torch.sin(6 * torch.atan2(dy, dx))
        mask.copy_(torch.sigmoid(8 * (border - torch.hypot(dy / radius[0], dx / radius[1]))))
    return masks


def restore_at_once(soft: Tensor, output: tuple[int, int]) -> Tensor:
    """The public implementations' form: every step on all masks, all pixels."""
    full = F.interpolate(soft[None], scale_factor=STRIDE, mode="bilinear", align_corners=False)
    full = full[..., : IMAGE[0], : IMAGE[1]]
    return F.interpolate(full, size=output, mode="bilinear", align_corners=False)[0] > THRESHOLD


def restore_in_chunks(soft: Tensor, output: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """This project's former form."""
    masks = torch.empty(len(soft), *output, dtype=torch.bool)
    chunk = max((1 << 26) // (4 * max(IMAGE[0] * IMAGE[1], output[0] * output[1])), 1)
    for part, out in zip(soft.split(chunk), masks.split(chunk), strict=True):
        torch.gt(restore_size(part[:, None], IMAGE, output, STRIDE)[:, 0], THRESHOLD, out=out)
    return masks, boxes_from_masks(masks)


def encode_one_by_one(masks: Tensor) -> list[dict]:
    """Detectron2's encoding of an image's masks."""
    return [mask_util.encode(np.array(m[:, :, None], order="F", dtype="uint8"))[0] for m in masks]


def cpu_times(functions: list[Callable[[], object]], repeats: int) -> list[float]:
    """Medians of CPU time in milliseconds."""
    return interleaved_ms(functions, repeats, time.process_time)


def restore_rows(repeats: int) -> list[dict]:
    rows = []
    for count, output in CASES:
        soft = soft_masks(count)
        frame = (soft, THRESHOLD, IMAGE, output, STRIDE)
        assert torch.equal(restore_masks(*frame).masks, restore_at_once(soft, output))
        ours, read, crops, former, public = cpu_times(
            [
                partial(restore_masks, *frame),
                lambda frame=frame: restore_masks(*frame).masks.clone(),
                partial(restore_masks, *frame, crops=True),
                partial(restore_in_chunks, soft, output),
                partial(restore_at_once, soft, output),
            ],
            repeats,
        )
        name = f"restore {count} to {output[0]} x {output[1]}"
        rows += [
            row(f"{name}, former", ours, former, "ms"),
            row(f"{name}, public", ours, public, "ms"),
            row(f"{name}, read, public", read, public, "ms"),
            row(f"{name}, crops, public", crops, public, "ms"),
        ]
    return rows


def rle_rows(repeats: int) -> list[dict]:
    rows = []
    for count, output in RLE_CASES:
        frame = (soft_masks(count), THRESHOLD, IMAGE, output, STRIDE)
        masks, boxes, _ = restore_masks(*frame)
        crops = restore_masks(*frame, crops=True).masks
        masks = masks.clone()  # every page exists, as in masks from anywhere else
        assert masks_to_rle(masks) == masks_to_rle(crops) == encode_one_by_one(masks)
        ours, inside, packed, theirs = cpu_times(
            [
                partial(masks_to_rle, masks),
                partial(masks_to_rle, masks, boxes),
                partial(masks_to_rle, crops),
                partial(encode_one_by_one, masks),
            ],
            repeats,
        )
        name = f"rle {count} of {output[0]} x {output[1]}"
        rows += [
            row(name, ours, theirs, "ms"),
            row(f"{name}, boxes known", inside, theirs, "ms"),
            row(f"{name}, crops", packed, theirs, "ms"),
        ]
    return rows


def evaluation_rows(repeats: int) -> list[dict]:
    """Times an evaluator's rows of one image against the active Detectron2's own function."""
    rows = []
    for count, output in RLE_CASES:
        masks, boxes, areas = restore_masks(soft_masks(count), THRESHOLD, IMAGE, output, STRIDE)
        instances = Instances(
            output,
            pred_masks=masks,
            pred_boxes=Boxes(boxes),
            scores=areas / areas.max(),
            pred_classes=areas % 80,
        )
        assert instances_to_coco_json(instances, 1) == coco_evaluation.instances_to_coco_json(instances, 1)
        ours, theirs = cpu_times(
            [
                partial(instances_to_coco_json, instances, 1),
                partial(coco_evaluation.instances_to_coco_json, instances, 1),
            ],
            repeats,
        )
        rows.append(row(f"evaluation of {count} of {output[0]} x {output[1]}", ours, theirs, "ms"))
    return rows


def memory_rows() -> list[dict]:
    """Peak memory of 10 masks at 4000 x 6000 and of 100 at 9000 x 12000, encoded."""
    soft = soft_masks(10)

    def encode(soft: Tensor, output: tuple[int, int], crops: bool) -> list[dict]:
        return masks_to_rle(restore_masks(soft, THRESHOLD, IMAGE, output, STRIDE, crops=crops).masks)

    public = peak_extra_mb(lambda: encode_one_by_one(restore_at_once(soft, (4000, 6000))))
    ours = peak_extra_mb(lambda: encode(soft, (4000, 6000), crops=False))
    name = "restore and rle, peak memory, "
    rows = [row(f"{name}10 of 4000 x 6000, public", ours, public, "MB")]
    many = soft_masks(100)
    dense = peak_extra_mb(lambda: encode(many, (9000, 12000), crops=False))
    crops = peak_extra_mb(lambda: encode(many, (9000, 12000), crops=True))
    return [*rows, row(f"{name}100 of 9000 x 12000, crops, dense", crops, dense, "MB")]


def main() -> None:
    args = build_parser(__doc__.splitlines()[0]).parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    report(
        [
            *restore_rows(args.repeats),
            *rle_rows(args.repeats),
            *evaluation_rows(args.repeats),
            *memory_rows(),
        ],
        args.json,
    )


if __name__ == "__main__":
    main()
