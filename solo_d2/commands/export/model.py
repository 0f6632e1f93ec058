"""Writes a trained model with its post-processing as one file for other runtimes.

    solo-d2 export --config-file quick/solov2_tiny --output model.onnx MODEL.WEIGHTS output/model_final.pth
    solo-d2 export --config-file mmdet/solov2_R50_3x --output solov2.onnx --candidates 100 --masks full

``Predictor("model.onnx")`` gives the same instances. docs/deploy.md describes the inputs and outputs.
"""

import argparse
import os

from solo_d2.engine import cli
from solo_d2.engine.flag_types import whole
from solo_d2.export.onnx_export import check_output, export_onnx
from solo_d2.predictor import Predictor

# The network as it was trained.
_PLAIN = ("MODEL.INFERENCE.PRECISION", "fp32", "MODEL.INFERENCE.COMPILE", "False")


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = cli.build_parser(description)
    add = parser.add_argument
    add("--config-file", required=True, metavar="FILE", help="config, its name, or a published model's name")
    add("--format", choices=("onnx",), default="onnx", help="kind of file (%(default)s)")
    add("--output", required=True, metavar="FILE", help="file to write, .onnx")
    add(
        "--candidates",
        type=whole(1),
        metavar="N",
        help="candidates per image; results are the model's own if no more pass its score threshold "
        "(default: 200, with box NMS 1000)",
    )
    add(
        "--masks",
        choices=("soft", "full"),
        default="soft",
        help="soft masks of the network's mask size, or binary ones of the input's size (%(default)s)",
    )
    add("opts", nargs="*", metavar="KEY VALUE", help="config overrides such as MODEL.WEIGHTS model.pth")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Writes the file and prints what it is."""
    check_output(arguments.output)
    predictor = Predictor(arguments.config_file, opts=[*arguments.opts, *_PLAIN], device="cpu")
    description = export_onnx(
        predictor.model,
        predictor.cfg,
        predictor.metadata,
        arguments.output,
        num_candidates=arguments.candidates or 0,
        full_masks=arguments.masks == "full",
    )
    size = os.path.getsize(arguments.output) / 1e6
    print(f"{arguments.output}: {description.card.architecture}, {size:.1f} MB; {description.license}")
