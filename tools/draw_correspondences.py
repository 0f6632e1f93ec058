#!/usr/bin/env python
"""Draws which cells of two random views of a picture a pre-trained backbone takes for the same thing.

python tools/draw_correspondences.py --config-file configs/quick/densecl_tiny.yaml \\
    --input datasets/scenes/val/images/000001.png --opts MODEL.WEIGHTS output/model_final.pth

Lines join cells that are each other's most similar one, with a cosine of at least --threshold. Writes
<picture>_correspondences.jpg; MODEL.WEIGHTS is a checkpoint of the pre-training or an exported backbone.
"""

import argparse
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from detectron2.modeling import build_model
from solo_d2.data.mappers import TwoViewMapper
from solo_d2.data.stream import seeded_by_position
from solo_d2.engine.cli import prepare_parser, run_cli
from solo_d2.engine.weights import build_checkpointer
from solo_d2.methods.densecl.losses import mutual_matches
from solo_d2.methods.densecl.model import DenseCL
from solo_d2.predictor import available_device, load_config, to_array
from solo_d2.utils.atomic_file import atomic_write
from solo_d2.utils.errors import InputError

JPEG_QUALITY = 85
MIN_SIDE = 384  # pixels of a drawn view; smaller ones are enlarged
GAP = 16  # pixels between the two views


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--config-file", required=True, metavar="FILE", help="config of the pre-training")
    add("--input", nargs="+", required=True, metavar="PATH", help="pictures")
    add("--output", default="output/correspondences", metavar="DIR", help="(%(default)s)")
    add("--threshold", type=float, default=0.9, help="least cosine of a pair drawn (%(default)s)")
    add("--seed", type=int, default=0, help="of the views (%(default)s)")
    add("--opts", nargs=argparse.REMAINDER, default=[], metavar="KEY VALUE", help="config overrides, last")
    return prepare_parser(parser)


def build_trained(cfg) -> DenseCL:
    """The config's model with the weights of ``MODEL.WEIGHTS``, in evaluation mode."""
    if cfg.MODEL.META_ARCHITECTURE != DenseCL.__name__:
        raise InputError(f"views are compared by a DenseCL config, not {cfg.MODEL.META_ARCHITECTURE}")
    if not cfg.MODEL.WEIGHTS:
        raise InputError(
            "no weights: name a checkpoint or exported backbone with --opts MODEL.WEIGHTS <file>"
        )
    cfg.MODEL.DEVICE = available_device(cfg.MODEL.DEVICE)
    model = build_model(cfg).eval()
    build_checkpointer(cfg, model).load(cfg.MODEL.WEIGHTS)
    return model


@torch.no_grad()
def match(model: DenseCL, views: list[Tensor], threshold: float) -> tuple[list[list], int]:
    """Pairs ((row, column), (row, column)) of cells of two views (3, S, S), and the cells along a side."""
    feature = model.backbone.features(model.normalize(torch.stack(views).to(model.device)))
    first, second = feature.flatten(2).transpose(1, 2)
    pairs, _ = mutual_matches(first, second, threshold)
    side = feature.shape[-1]
    return [[divmod(cell, side) for cell in pair] for pair in pairs.tolist()], side


def draw(views: list[np.ndarray], pairs: list[list], side: int) -> np.ndarray:
    """Both views (S, S, 3) uint8 side by side, with a line for each pair."""
    size = max(MIN_SIDE, views[0].shape[0])
    left, right = (cv2.resize(view, (size, size), interpolation=cv2.INTER_CUBIC) for view in views)
    picture = np.concatenate([left, np.full((size, GAP, 3), 255, np.uint8), right], axis=1)
    hues = np.linspace(0, 180, len(pairs), endpoint=False)
    for hue, cells in zip(hues, pairs, strict=True):
        colour = cv2.cvtColor(np.uint8([[[hue, 220, 255]]]), cv2.COLOR_HSV2RGB)[0, 0].tolist()
        ends = [
            (int((column + 0.5) * size / side) + offset, int((row + 0.5) * size / side))
            for (row, column), offset in zip(cells, (0, size + GAP), strict=True)
        ]
        cv2.line(picture, *ends, colour, 1, cv2.LINE_AA)
        for end in ends:
            cv2.circle(picture, end, 3, colour, -1, cv2.LINE_AA)
    return picture


def targets(paths: list[str], output: Path) -> dict[str, Path]:
    """The file that shows each picture.

    Raises:
        InputError: If two pictures have one name, so that one's file would replace the other's.
    """
    named = {path: output / f"{Path(path).stem}_correspondences.jpg" for path in paths}
    (name, count), *_ = Counter(named.values()).most_common()
    if count > 1:
        raise InputError(f"{count} pictures would all become {name}: give each an --output of its own")
    return named


def main() -> None:
    arguments = build_parser().parse_args()
    cfg = load_config(arguments.config_file, arguments.opts)
    output = Path(arguments.output)
    pictures = targets(arguments.input, output)
    output.mkdir(parents=True, exist_ok=True)
    model, mapper = build_trained(cfg), TwoViewMapper(cfg)
    for number, (path, target) in enumerate(pictures.items()):
        with seeded_by_position(arguments.seed, number):
            views = [mapper.view(to_array(path, "RGB")) for _ in range(2)]
        pairs, side = match(model, views, arguments.threshold)
        order = slice(None) if cfg.INPUT.FORMAT == "RGB" else slice(None, None, -1)
        picture = draw([view.permute(1, 2, 0).numpy()[..., order] for view in views], pairs, side)
        with atomic_write(target) as temporary:
            Image.fromarray(picture).save(temporary, format="JPEG", quality=JPEG_QUALITY)
        print(f"{target}: {len(pairs)} of {side * side} cells match")


if __name__ == "__main__":
    run_cli(main)
