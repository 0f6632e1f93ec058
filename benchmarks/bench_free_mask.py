"""Free Mask: masks of all queries at once against a loop over queries, and whole images per second.

    python benchmarks/bench_free_mask.py
    python benchmarks/bench_free_mask.py --repeats 3 --json rows.json

The last row labels synthetic photographs from files to COCO JSON, with one process and with two: its ratio is
what the second process brings.
"""

import logging
import math
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from timing import median_ms, parse_args, report, row
from torch import Tensor

from detectron2.modeling import build_model
from solo_d2.config import get_cfg
from solo_d2.data.image_paths import list_images
from solo_d2.methods.free_mask.postprocess import FreeMaskPostprocessor
from solo_d2.predictor import Predictor
from solo_d2.pseudo_labels import Labeling, ShardStore, run_labeling
from solo_d2.pseudo_labels.labeling import select_all
from solo_d2.utils.settings import build

# Height and width of the feature map, channels, stride: res5 of R50 at short side 800, of R18 at 320, and
# res3 of R18 at 256.
CASES = (((25, 38), 2048, 32), ((10, 14), 512, 32), ((32, 32), 128, 8))
NUM_IMAGES, IMAGE_SIZE, SHORT_SIDE = 64, (480, 640), 320
NUM_PROCESSES = 2


def make_feature(size: tuple[int, int], channels: int) -> Tensor:
    """Features (E, h, w) of smooth regions, as a trained backbone has them."""
    generator = torch.Generator().manual_seed(0)
    regions = torch.randn(1, channels, 5, 6, generator=generator)
    smooth = F.interpolate(regions, size, mode="bilinear")[0]
    return smooth + 0.05 * torch.randn(channels, *size, generator=generator)


def one_query_at_a_time(feature: Tensor, stride: int, options: FreeMaskPostprocessor) -> Tensor:
    """The published steps in the plainest form; returns the masks, (M, H, W) bool."""
    keys = F.normalize(feature, dim=0)
    size = tuple(feature.shape[1:])
    found = []
    for scale in options.query_scales:
        level = (
            feature if scale == 1 else F.interpolate(feature[None], scale_factor=scale, mode="bilinear")[0]
        )
        for query in F.normalize(level.flatten(1), dim=0).T:
            soft = (query[:, None, None] * keys).sum(0)
            soft = (soft - soft.min()) / (soft.max() - soft.min())
            mask = soft >= options.mask_thr
            if mask.sum() > options.min_area:
                found.append((soft[mask].mean().item(), mask, soft))
    found.sort(key=lambda one: -one[0])
    masks = torch.stack([mask for _, mask, _ in found]).flatten(1).float()
    common = masks @ masks.T
    area = masks.sum(1)
    iou = (common / (area[:, None] + area - common)).triu(diagonal=1)
    decay = torch.exp(-options.nms_sigma * (iou**2 - iou.amax(0)[:, None] ** 2)).amin(0)
    scores = torch.tensor([one[0] for one in found]) * decay
    best = scores.argsort(descending=True)[: options.max_per_img].tolist()
    output = (size[0] * stride, size[1] * stride)
    kept = [found[i][2] for i in best if scores[i] >= options.maskness_thr]
    resized = [F.interpolate(soft[None, None], output, mode="bilinear")[0, 0] for soft in kept]
    masks = torch.stack([soft >= options.mask_thr for soft in resized])
    wide = masks.any(1).sum(1) >= options.max_box_width * output[1]
    rows = torch.arange(output[0])
    occupied = masks.any(2)
    center = (occupied * rows).sum(1) / occupied.sum(1)
    return masks[~wide & (center > options.min_center_y * output[0])]


def check_masks(ours: Tensor, baseline: Tensor) -> None:
    """Both sides find the same masks but for pixels at the threshold; equal scores may change places."""
    assert len(ours) == len(baseline) > 0, (len(ours), len(baseline))
    different = (ours[:, None] != baseline).float().mean((2, 3))
    assert different.amin(0).amax() < 1e-3 and different.amin(1).amax() < 1e-3, different


def feature_rows(repeats: int) -> list[dict]:
    """Time from features to masks."""
    settings = {"min_center_y": -1.0, "maskness_thr": 0.5}
    rows, options = [], build(FreeMaskPostprocessor, get_cfg(), "MODEL.FREE_MASK", **settings)
    for size, channels, stride in CASES:
        feature = make_feature(size, channels)
        output = (size[0] * stride, size[1] * stride)
        ours = partial(options, feature, stride, output, output)
        baseline = partial(one_query_at_a_time, feature, stride, options)
        check_masks(ours().pred_masks, baseline())
        times = median_ms(ours, repeats), median_ms(baseline, max(1, repeats // 3))
        queries = sum(math.prod(int(side * scale) for side in size) for scale in options.query_scales)
        rows.append(row(f"{queries} queries on {size[0]}x{size[1]} cells of {channels}", *times, "ms"))
    return rows


def write_images(folder: Path) -> None:
    generator = np.random.default_rng(0)
    for number in range(NUM_IMAGES):
        coarse = generator.integers(0, 255, (6, 8, 3), np.uint8)
        Image.fromarray(coarse).resize(IMAGE_SIZE[::-1], Image.BILINEAR).save(folder / f"{number:04d}.jpg")


def make_r18(folder: Path):
    """Config of R18 at short side 320, res5, with random weights in a file."""
    cfg = get_cfg()
    cfg.MODEL.META_ARCHITECTURE = "FreeMask"
    cfg.MODEL.DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
    cfg.MODEL.RESNETS.DEPTH, cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 18, 64
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res5"]
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.MODEL.RESNETS.NORM = "BN"
    cfg.INPUT.MIN_SIZE_TEST = SHORT_SIDE
    cfg.MODEL.WEIGHTS = str(folder / "model.pth")
    torch.manual_seed(0)
    torch.save({"model": build_model(cfg).state_dict()}, cfg.MODEL.WEIGHTS)
    return cfg


def make_predictor(cfg, device: str | None) -> Predictor:
    """Importable, for other processes."""
    return Predictor(cfg, device=device)


def whole_row() -> dict:
    """Milliseconds per image from files to shards: two processes (ours) against one, start-up left out."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        write_images(folder / "images")
        images, cfg = list_images(folder / "images"), make_r18(folder)
        times = {}
        for processes in (1, NUM_PROCESSES):
            seconds = []
            for rounds in (1, 3):  # the difference has no start-up in it
                store = ShardStore.open(folder / f"{processes}_{rounds}", {}, images, 8)
                shards = list(range(store.num_shards)) * rounds
                job = Labeling(partial(make_predictor, cfg), select_all, store, images.root, 8)
                start = time.perf_counter()
                run_labeling(job, shards, processes)
                seconds.append(time.perf_counter() - start)
            times[processes] = (seconds[1] - seconds[0]) / (2 * NUM_IMAGES) * 1e3
    name = f"R18, res5, short side {SHORT_SIDE}: files to labels, {NUM_PROCESSES} processes against 1"
    print(", ".join(f"{count} process(es): {1e3 / each:.1f} images/s" for count, each in times.items()))
    return row(name, times[NUM_PROCESSES], times[1], "ms/image")


def main() -> None:
    arguments = parse_args(__doc__)
    logging.disable(logging.INFO)
    rows = [*feature_rows(arguments.repeats), whole_row()]
    report(rows, arguments.json)


if __name__ == "__main__":
    main()
