"""Prints the active kernels and checks them against the references: ``python -m solo_d2.ops``."""

import argparse
import sys
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor

from ._extension import OPERATORS, active_kernels, load_extension
from .mask_iou import mask_iou
from .mask_iou import reference as mask_iou_reference
from .masks_to_rle import masks_to_rle
from .masks_to_rle import reference as encode_masks_reference
from .matrix_nms import matrix_nms
from .matrix_nms import reference as matrix_nms_reference
from .pack_masks import pack_masks
from .pack_masks import reference as pack_masks_reference
from .restore_masks import MaskCrops, restore_masks
from .restore_masks import reference as restore_masks_reference

TOLERANCE = 1e-6
# Fraction of pixels that may differ on a GPU because of rounding.
_GPU_ROUNDINGS = 1e-5


def report() -> list[tuple[str, str]]:
    """Returns (name, value) rows: kernels of every operator and device, why any are missing, CPU variant."""
    rows = []
    for operator in OPERATORS:
        kinds = active_kernels(operator)
        rows.append((operator, ", ".join(f"{device}: {kind}" for device, kind in kinds.items())))
    missing = load_extension()
    if missing:
        return [*rows, ("compiled kernels", missing)]
    return [*rows, ("CPU instructions", torch.ops.solo_d2.cpu_kernels())]


def differences(device: str) -> Iterator[tuple[str, float]]:
    """Yields (operator, largest difference from its reference) on a fixed random case."""
    soft, labels, scores = _example(device)
    packed, expected = pack_masks(soft), pack_masks_reference(soft, 0.5)
    wrong_bits = (packed[0] != expected[0]).sum() + (packed[1] != expected[1]).sum()
    sums = (packed[2] - expected[2]).abs() / expected[2].clamp(min=1)
    yield "pack_masks", max(wrong_bits.item(), sums.amax().item())
    iou = mask_iou(soft, labels) - mask_iou_reference(soft, labels)
    yield "mask_iou", iou.abs().amax().item()
    for kernel in ("gaussian", "linear"):
        decayed = matrix_nms(soft, labels, scores, kernel)
        error = decayed - matrix_nms_reference(soft, labels, scores, kernel)
        yield f"matrix_nms {kernel}", error.abs().amax().item()
    yield from _restoring_differences(soft)


def _restoring_differences(soft: Tensor) -> Iterator[tuple[str, float]]:
    """Yields :func:`differences` of the operators from soft masks to files; 1 if encoded texts differ."""
    frame = (0.5, (180, 331), (270, 400), 4)
    restored, expected = restore_masks(soft, *frame), restore_masks_reference(soft, *frame)
    # On a GPU a value may round to the other side of the threshold.
    masks = cast(Tensor, restored.masks)
    wrong = (masks != expected[0]).float().mean().item()
    yield "restore_masks", wrong if soft.is_cpu else max(wrong - _GPU_ROUNDINGS, 0.0)
    crops = cast(MaskCrops, restore_masks(soft, *frame, crops=True).masks)
    yield "restore_crops", float(not torch.equal(crops.dense(), masks))
    texts = [rle["counts"] for rle in masks_to_rle(masks)]
    yield "encode_masks", float(b"".join(texts) != bytes(encode_masks_reference(masks)[0].tolist()))
    packed = MaskCrops.from_masks(masks)
    yield "encode_crops", float([rle["counts"] for rle in masks_to_rle(packed)] != texts)


def _example(device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Returns overlapping soft discs: (60, 47, 83) masks, labels and descending scores."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(47.0), torch.arange(83.0), indexing="ij")
    center = torch.rand(60, 2, 1, 1, generator=generator) * torch.tensor([47.0, 83.0]).view(2, 1, 1)
    radius = 4 + 16 * torch.rand(60, 1, 1, generator=generator)
    soft = torch.sigmoid(radius - torch.hypot(y - center[:, 0], x - center[:, 1]))
    labels = torch.arange(60) % 3
    return soft.to(device), labels.to(device), torch.linspace(1, 0.1, 60, device=device)


def main() -> int:
    """Prints report and self-check; returns 1 if a kernel is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m solo_d2.ops", description="Active kernels and a self-check."
    )
    parser.parse_args()
    rows = report()
    worst = 0.0
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        for name, error in differences(device):
            rows.append((f"{name} on {device}", f"{error:.1e} from the reference"))
            worst = max(worst, error)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")
    correct = worst <= TOLERANCE
    print("self-check: " + ("passed" if correct else f"FAILED, above {TOLERANCE}: please report this"))
    return 0 if correct else 1


if __name__ == "__main__":
    sys.exit(main())
