#!/usr/bin/env python
"""Shows what a trained model does: mask activations per grid cell, mask-feature channels, kernels.

python tools/visualize_solo.py --config-file configs/quick/solov2_tiny.yaml \\
    --input datasets/scenes/val/images/000001.png --opts MODEL.WEIGHTS output/demo/train/model_final.pth

Writes <picture>_activations.jpg, <picture>_channels.jpg and <picture>_kernels.jpg.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from solo_d2.engine.cli import prepare_parser, run_cli
from solo_d2.methods.grid.activations import observe
from solo_d2.predictor import Predictor, to_array
from solo_d2.utils.atomic_file import atomic_write
from solo_d2.utils.errors import InputError
from solo_d2.visualization.activations import View, draw_activations, draw_channels, draw_kernels

JPEG_QUALITY = 80


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--config-file", required=True, metavar="FILE", help="model config")
    add("--input", nargs="+", required=True, metavar="PATH", help="pictures")
    add("--output", default="output/behavior", metavar="DIR", help="(%(default)s)")
    add("--level", type=int, help="whose activations, 0 is the finest (default: where most is found)")
    add("--objects", type=int, default=5, help="rows of the kernels' picture (%(default)s)")
    add("--threshold", type=float, default=0.1, help="score a cell needs to be framed (%(default)s)")
    add("--opts", nargs=argparse.REMAINDER, default=[], metavar="KEY VALUE", help="config overrides, last")
    return prepare_parser(parser)


def draw(predictor: Predictor, path: str, arguments: argparse.Namespace) -> dict[str, np.ndarray]:
    """The pictures of one image by name; only those that the model has something to show for."""
    model_input = predictor.model_input(to_array(path, predictor.input_format))
    behavior, images = observe(predictor.model, model_input)
    pixels = model_input["image"].byte().permute(1, 2, 0).numpy()
    if predictor.input_format == "BGR":
        pixels = pixels[:, :, ::-1]
    view = View(np.ascontiguousarray(pixels), tuple(images.tensor.shape[-2:]))
    level = behavior.busiest_level() if arguments.level is None else arguments.level
    if not 0 <= level < len(behavior.layout.levels):
        raise InputError(f"--level {level}: the model has levels 0 to {len(behavior.layout.levels) - 1}")
    pictures = {"activations": draw_activations(behavior, view, level, arguments.threshold)}
    if behavior.mask_feature is not None:
        pictures["channels"] = draw_channels(behavior, view)
        if behavior.kernels is not None:
            pictures["kernels"] = draw_kernels(behavior, view, arguments.objects, arguments.threshold)
    return pictures


def main() -> None:
    arguments = build_parser().parse_args()
    predictor = Predictor(arguments.config_file, opts=arguments.opts)
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    for path in arguments.input:
        for name, picture in draw(predictor, path, arguments).items():
            target = output / f"{Path(path).stem}_{name}.jpg"
            with atomic_write(target) as temporary:
                Image.fromarray(picture).save(temporary, format="JPEG", quality=JPEG_QUALITY)
            print(target)


if __name__ == "__main__":
    run_cli(main)
