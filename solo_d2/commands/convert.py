"""Renames published weights to this project's names, or back.

MODEL.WEIGHTS and the predictor read every known format themselves. Convert files to keep them, pass them on
or use them in other programs.

solo-d2 convert --input solov2_r50_fpn_3x_coco.pth --output solov2_R50_3x.safetensors
solo-d2 convert --input SOLOv2_R50_3x.pth --output m.pth \\
    --config-file original/solov2_R50_3x
solo-d2 convert --input model_final.pth --output for_mmdet.pth --to mmdet
solo-d2 convert --input model_final.pth --output backbone.pth --to torchvision
"""

import argparse
import logging
import os
from dataclasses import replace

import torch

import solo_d2  # noqa: F401  (registers the models)
from detectron2.modeling import build_model
from solo_d2.checkpoint import (
    ADAPTERS,
    Adapter,
    NativeWeights,
    Preprocessing,
    adapter_named,
    read_native,
    write_weight_file,
)
from solo_d2.checkpoint.model_card import CARD_KEY
from solo_d2.checkpoint.native import FORMAT_KEY, PREPROCESSING_KEY
from solo_d2.checkpoint.preprocessing import CAFFE, TORCHVISION
from solo_d2.config.loading import load_config
from solo_d2.engine import cli
from solo_d2.engine.weights import build_checkpointer
from solo_d2.utils.errors import InputError

logger = logging.getLogger(__name__)
_ENDINGS = (".pth", ".safetensors")
_PREPROCESSING = {"torchvision": TORCHVISION, "caffe": CAFFE}


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = cli.build_parser(description)
    parser.add_argument("--input", required=True, help="weight file, address, or solo_d2://<published model>")
    parser.add_argument("--output", required=True, help="file to write, .pth or .safetensors")
    parser.add_argument(
        "--config-file",
        help="config or its name that the weights must fit; without it every weight name must be known",
    )
    names = ", ".join(adapter.name for adapter in ADAPTERS)
    parser.add_argument("--to", metavar="FORMAT", help=f"write this foreign format instead: {names}")
    parser.add_argument(
        "--preprocessing",
        choices=_PREPROCESSING,
        help="how the weights expect images, if not as usual for their format; such as torchvision for an "
        "AdelaiDet model that was trained from DenseCL's backbone",
    )
    parser.add_argument(
        "--allow-pickle",
        action="store_true",
        help="read old pickles by RUNNING THE CODE IN THEM: only for files you trust",
    )
    return parser


def with_preprocessing(native: NativeWeights, preprocessing: Preprocessing) -> NativeWeights:
    """Returns the weights with another preprocessing, except for the test size of their format."""
    known = native.preprocessing
    sized = replace(preprocessing, short_side=known.short_side, long_side=known.long_side)
    return replace(native, preprocessing=sized)


def check_names(native: NativeWeights, path: str) -> None:
    """Raises ``InputError`` for weights whose names belong to no known model."""
    left_over = native.left_over
    if left_over:
        known = f"the format of {native.format.title}" if native.format else "any known format"
        raise InputError(
            f"{path}: {len(left_over)} of {len(native.weights)} weights, such as "
            f"{left_over[0]}, do not belong to {known}: it is another model or damaged. "
            "--config-file checks it against its model"
        )


def check_fit(native: NativeWeights, config: str, path: str) -> None:
    """Raises ``InputError`` for weights that do not fit the config's model; otherwise logs what they are."""
    cfg = load_config(config, ["MODEL.DEVICE", "meta"])
    with torch.device("meta"):  # shapes are enough
        model = build_model(cfg)
    build_checkpointer(cfg, model, exact=native.whole_model).check(path, native)


def to_foreign(native: NativeWeights, target: Adapter) -> dict[str, torch.Tensor]:
    """Converts weights to a foreign format; a format for backbones takes only those of the backbone.

    Raises:
        InputError: The format has no names for the weights.
    """
    nameless = set(target.without_name(native.weights))
    if nameless and (target.whole_model or len(nameless) == len(native.weights)):
        raise InputError(
            f"--to {target.name}: the format has no name for {len(nameless)} of {len(native.weights)} "
            f"weights, such as {min(nameless)}: it belongs to another method"
        )
    if nameless:
        logger.info("%s has no names for %d weights: they are left out", target.title, len(nameless))
    return target.from_native({n: value for n, value in native.weights.items() if n not in nameless})


def report(native: NativeWeights, path: str) -> None:
    """Logs the format of a file and how it expects images."""
    kind = native.format.title if native.format else "this project's own names, or an unknown format"
    what = "a whole model" if native.whole_model else "a backbone"
    logger.info("%s: %s, %s, %d weights", path, kind, what, len(native.weights))
    expected = native.preprocessing.as_dict()
    if expected:
        logger.info("images as the weights expect them: %s", expected)


def run(arguments: argparse.Namespace) -> None:
    """Reads, checks and writes the weights."""
    cli.show_log()
    if not arguments.output.endswith(_ENDINGS):
        raise InputError(f"--output {arguments.output}: it must end in {' or '.join(_ENDINGS)}")
    target = adapter_named(arguments.to) if arguments.to else None
    folder = os.path.dirname(arguments.output) or "."
    if not os.path.isdir(folder):
        raise InputError(f"--output {arguments.output}: the folder {folder} does not exist")
    native = read_native(arguments.input, allow_pickle=arguments.allow_pickle)
    if arguments.preprocessing:
        native = with_preprocessing(native, _PREPROCESSING[arguments.preprocessing])
    if not arguments.config_file:
        check_names(native, arguments.input)
    report(native, arguments.input)
    if arguments.config_file:
        check_fit(native, arguments.config_file, arguments.input)
    else:
        for note in native.notes:
            logger.info("%s", note)
    if target:
        write_weight_file(arguments.output, to_foreign(native, target))
    else:
        metadata: dict[str, object] = {PREPROCESSING_KEY: native.preprocessing.as_dict()}
        if native.format:
            metadata[FORMAT_KEY] = native.format.name
        if native.card.categories:
            metadata[CARD_KEY] = native.card.as_dict()
        write_weight_file(arguments.output, native.weights, **metadata)
    logger.info("wrote %s", arguments.output)
