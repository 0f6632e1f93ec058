"""Writes a pre-trained backbone as a file for MODEL.WEIGHTS of any Detectron2 model.

    solo-d2 export backbone --weights output/densecl/model_final.pth --output densecl_r50.pth
    solo-d2 export backbone --weights output/densecl/model_final.pth --output densecl_r50_rgb.pth \\
        --for-config other.yaml

With --for-config the file suits the channel order and pixel normalization of that config, otherwise those of
the pre-training. The command prints them.
"""

import argparse
import os

from solo_d2.checkpoint import read_native
from solo_d2.checkpoint.weight_file import save_atomically
from solo_d2.config.loading import load_config
from solo_d2.engine import cli
from solo_d2.engine.weights import preprocessing_of
from solo_d2.export.backbone import as_checkpoint, backbone_weights, fit_to_config
from solo_d2.utils.errors import InputError


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = cli.build_parser(description)
    add = parser.add_argument
    add("--weights", required=True, metavar="FILE", help="checkpoint of the pre-training")
    add("--output", required=True, metavar="FILE", help="file to write, .pth")
    add("--config-file", default="", metavar="FILE", help="its config (default: config.yaml next to it)")
    add("--for-config", default="", metavar="FILE", help="config of the model that starts from it")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Writes the backbone and prints the settings it expects."""
    if not arguments.output.endswith(".pth"):
        raise InputError(f"--output {arguments.output}: the file name must end in .pth")
    native = read_native(arguments.weights)
    weights = backbone_weights(native.weights)
    neighbor = os.path.join(os.path.dirname(arguments.weights), "config.yaml")
    trained = arguments.config_file or (neighbor if os.path.isfile(neighbor) else "")
    if arguments.for_config and not trained:
        raise InputError(f"--for-config needs the pre-training's config too: {neighbor} does not exist")
    cfg = load_config(arguments.for_config or trained) if trained else None
    if arguments.for_config and cfg is not None:
        weights = fit_to_config(weights, load_config(trained), cfg)
    expected = preprocessing_of(cfg) if cfg else native.preprocessing
    os.makedirs(os.path.dirname(arguments.output) or ".", exist_ok=True)
    save_atomically(as_checkpoint(weights, expected), arguments.output)
    print(f"{arguments.output}: {len(weights)} tensors. Start from it with MODEL.WEIGHTS {arguments.output}")
    if cfg:
        print(
            f"For INPUT.FORMAT {cfg.INPUT.FORMAT} MODEL.PIXEL_MEAN {cfg.MODEL.PIXEL_MEAN} "
            f"MODEL.PIXEL_STD {cfg.MODEL.PIXEL_STD} MODEL.RESNETS.DEPTH {cfg.MODEL.RESNETS.DEPTH} "
            f"MODEL.RESNETS.STRIDE_IN_1X1 {cfg.MODEL.RESNETS.STRIDE_IN_1X1}"
        )
