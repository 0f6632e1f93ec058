"""Draws the cells that a pre-trained backbone matches between two random views of a picture.

solo-d2 visualize correspondences --config-file quick/densecl_tiny \\
    --input datasets/scenes/val/images/000001.png --opts MODEL.WEIGHTS output/model_final.pth

Lines join cells that are each other's most similar one, with a cosine of at least --threshold. Writes
<picture>_correspondences.jpg; MODEL.WEIGHTS is a checkpoint of the pre-training or an exported backbone.
"""

import argparse
from typing import cast

from detectron2.config import CfgNode
from detectron2.modeling import build_model
from solo_d2.config.loading import load_config
from solo_d2.data.mappers import TwoViewMapper
from solo_d2.data.stream import seeded_by_position
from solo_d2.engine import cli
from solo_d2.engine.flag_types import real, whole
from solo_d2.engine.weights import build_checkpointer
from solo_d2.inputs import to_array
from solo_d2.methods.densecl.model import DenseCL
from solo_d2.utils.device import available_device
from solo_d2.utils.errors import InputError
from solo_d2.visualization.correspondences import draw_correspondences, match_views
from solo_d2.visualization.pictures import from_tensor, save_picture

from .targets import targets_by_input

_KIND = "correspondences"


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = cli.build_parser(description)
    add = parser.add_argument
    add("--config-file", required=True, metavar="FILE", help="config of the pre-training")
    add("--input", nargs="+", required=True, metavar="PATH", help="pictures")
    add("--output", default="output/correspondences", metavar="DIR", help="(%(default)s)")
    add("--threshold", type=real(-1, 1), default=0.9, help="least cosine of a pair drawn (%(default)s)")
    add("--seed", type=whole(0), default=0, help="of the views (%(default)s)")
    add("--opts", nargs=argparse.REMAINDER, default=[], metavar="KEY VALUE", help="config overrides, last")
    return parser


def build_trained(cfg: CfgNode) -> DenseCL:
    """Builds the config's model with the weights of ``MODEL.WEIGHTS``, in evaluation mode."""
    if cfg.MODEL.META_ARCHITECTURE != DenseCL.__name__:
        raise InputError(f"views are compared by a DenseCL config, not {cfg.MODEL.META_ARCHITECTURE}")
    if not cfg.MODEL.WEIGHTS:
        raise InputError(
            "no weights: name a checkpoint or exported backbone with --opts MODEL.WEIGHTS <file>"
        )
    cfg.MODEL.DEVICE = available_device(cfg.MODEL.DEVICE)
    model = build_model(cfg).eval()
    build_checkpointer(cfg, model).load(cfg.MODEL.WEIGHTS)
    return cast(DenseCL, model)


def run(arguments: argparse.Namespace) -> None:
    """Writes a picture per image and prints its name."""
    cfg = load_config(arguments.config_file, arguments.opts)
    targets = targets_by_input(arguments.output, arguments.input, [_KIND])
    model, mapper = build_trained(cfg), TwoViewMapper(cfg)
    for number, (path, files) in enumerate(targets.items()):
        with seeded_by_position(arguments.seed, number):
            views = [mapper.view(to_array(path, "RGB")) for _ in range(2)]
        pairs, side = match_views(model, views, arguments.threshold)
        pictures = [from_tensor(view, cfg.INPUT.FORMAT) for view in views]
        save_picture(draw_correspondences(pictures, pairs, side), files[_KIND])
        print(f"{files[_KIND]}: {len(pairs)} of {side * side} cells match")
