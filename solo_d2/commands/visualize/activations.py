"""Shows what a trained model does: mask activations per grid cell, mask-feature channels, kernels.

solo-d2 visualize activations --config-file quick/solov2_tiny \\
    --input datasets/scenes/val/images/000001.png --opts MODEL.WEIGHTS output/demo/train/model_final.pth

Writes <picture>_activations.jpg, <picture>_channels.jpg and <picture>_kernels.jpg; of pictures with equal
names, the second is <picture>_2.
"""

import argparse

import numpy as np

from solo_d2.engine import cli
from solo_d2.engine.flag_types import share, whole
from solo_d2.inputs import to_array
from solo_d2.layers import map_size
from solo_d2.methods.grid.activations import compute_activations
from solo_d2.predictor import Predictor
from solo_d2.utils.errors import InputError
from solo_d2.visualization.activations import View, draw_all
from solo_d2.visualization.pictures import ACTIVATIONS_QUALITY, from_tensor, save_picture

from .targets import targets_by_input

_KINDS = ("activations", "channels", "kernels")


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = cli.build_parser(description)
    add = parser.add_argument
    add("--config-file", required=True, metavar="FILE", help="model config")
    add("--input", nargs="+", required=True, metavar="PATH", help="pictures")
    add("--output", default="output/behavior", metavar="DIR", help="(%(default)s)")
    add("--level", type=whole(0), help="whose activations, 0 is the finest (default: where most is found)")
    add("--objects", type=whole(1), default=5, help="rows of the kernels' picture (%(default)s)")
    add("--threshold", type=share, default=0.1, help="score a cell needs to be framed (%(default)s)")
    add("--opts", nargs=argparse.REMAINDER, default=[], metavar="KEY VALUE", help="config overrides, last")
    return parser


def draw(predictor: Predictor, path: str, arguments: argparse.Namespace) -> dict[str, np.ndarray]:
    """Draws an image's pictures, by name."""
    model_input = predictor.model_input(to_array(path, predictor.input_format))
    activations, images = compute_activations(predictor.model, model_input)
    view = View(from_tensor(model_input["image"], predictor.input_format), map_size(images.tensor))
    level = activations.busiest_level() if arguments.level is None else arguments.level
    num_levels = len(activations.layout.levels)
    if not 0 <= level < num_levels:
        raise InputError(f"--level {level}: the model has levels 0 to {num_levels - 1}")
    return draw_all(activations, view, level, arguments.objects, arguments.threshold)


def run(arguments: argparse.Namespace) -> None:
    """Writes the pictures of each image and prints their names."""
    targets = targets_by_input(arguments.output, arguments.input, _KINDS)
    predictor = Predictor(arguments.config_file, opts=arguments.opts)
    for path, files in targets.items():
        for kind, picture in draw(predictor, path, arguments).items():
            save_picture(picture, files[kind], ACTIVATIONS_QUALITY)
            print(files[kind])
