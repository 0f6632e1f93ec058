"""Writes a trained model with its post-processing as one file for other runtimes.

    solo-d2 export --config-file quick/solov2_tiny --output model.onnx MODEL.WEIGHTS output/model_final.pth
    solo-d2 export --config-file mmdet/solov2_R50_3x --output solov2.onnx --candidates 100 --masks full
    solo-d2 export --config-file mmdet/solov2_R50_3x --format openvino --output solov2.xml
    solo-d2 export --config-file mmdet/solov2_R50_3x --format torch --output solov2.pt2
    solo-d2 export --config-file mmdet/solov2_R50_3x --output int8.onnx --int8 --calibrate pictures/ \\
        --val-json val.json --val-images val/

``Predictor("model.onnx")`` gives the same instances. docs/deploy.md describes the inputs and outputs.
"""

import argparse
import os
import tempfile
from pathlib import Path
from types import ModuleType

from solo_d2.engine import cli
from solo_d2.engine.flag_types import whole
from solo_d2.export import (
    export_onnx,
    export_openvino,
    export_torch,
    onnx_export,
    openvino_export,
    quantize_onnx,
    quantize_openvino,
    torch_export,
)
from solo_d2.export.onnx_file import Description, required
from solo_d2.modeling.fixed_inference import MASK_FORMS
from solo_d2.predictor import Predictor
from solo_d2.utils.errors import InputError

from . import calibration

_FORMATS: dict[str, ModuleType] = {"onnx": onnx_export, "openvino": openvino_export, "torch": torch_export}
# The network as it was trained.
_PLAIN = ("MODEL.INFERENCE.PRECISION", "fp32", "MODEL.INFERENCE.COMPILE", "False")


def build_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = cli.build_parser(description)
    add = parser.add_argument
    add("--config-file", required=True, metavar="FILE", help="config, its name, or a published model's name")
    add("--format", choices=_FORMATS, default="onnx", help="kind of file (%(default)s)")
    add(
        "--output",
        required=True,
        metavar="FILE",
        help="file to write: .onnx, .xml for openvino, .pt2 for torch",
    )
    add(
        "--candidates",
        type=whole(1),
        metavar="N",
        help="candidates per image; results are the model's own if no more pass its score threshold "
        "(default: 200, with box NMS 1000)",
    )
    add(
        "--masks",
        choices=MASK_FORMS,
        default=MASK_FORMS[0],
        help="soft masks of the network's mask size, binary ones of the input's size, or these as bits by "
        "columns, for COCO's run lengths (%(default)s)",
    )
    calibration.add_flags(parser)
    add("--tensorrt", action="store_true", help="refuse what TensorRT does not take, and name it")
    add("opts", nargs="*", metavar="KEY VALUE", help="config overrides such as MODEL.WEIGHTS model.pth")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Writes the file and prints what it is."""
    _check(arguments)
    predictor = Predictor(arguments.config_file, opts=[*arguments.opts, *_PLAIN], device="cpu")
    by_onnx = arguments.int8 or arguments.format == "openvino"
    description = (_convert if by_onnx else _export)(predictor, arguments, arguments.output)
    paths = [Path(arguments.output), Path(arguments.output).with_suffix(".bin")]
    size = sum(os.path.getsize(path) for path in paths[: 1 + (arguments.format == "openvino")]) / 1e6
    print(
        f"{arguments.output}: {description.card.architecture}, {description.precision}, {size:.1f} MB; "
        f"{description.license}"
    )


def _check(arguments: argparse.Namespace) -> None:
    """Raises ``InputError`` for whatever can be known to fail before the model is built."""
    if arguments.tensorrt and arguments.format != "onnx":
        raise InputError("--tensorrt is for --format onnx")
    _FORMATS[arguments.format].check_output(arguments.output)
    calibration.check_flags(arguments)
    if arguments.int8 and arguments.format == "torch":
        raise InputError("--int8 is for --format onnx and openvino")
    if arguments.format == "openvino":
        onnx_export.check_packages()
        if arguments.int8:
            required("nncf")
    if arguments.masks != MASK_FORMS[0] and (arguments.int8 or arguments.format == "openvino"):
        raise InputError(f"--masks {arguments.masks} is for --format onnx without --int8")


def _export(predictor: Predictor, arguments: argparse.Namespace, output: str | Path) -> Description:
    parts = (predictor.model, predictor.cfg, predictor.metadata, output)
    options = {"num_candidates": arguments.candidates or 0, "masks": arguments.masks}
    if arguments.format == "torch":
        return export_torch(*parts, **options)
    return export_onnx(*parts, **options, for_tensorrt=arguments.tensorrt)


def _convert(predictor: Predictor, arguments: argparse.Namespace, output: str | Path) -> Description:
    """Writes the file by way of a temporary ONNX file in float32; prints the AP of both."""
    images = calibration.read_pictures(predictor, arguments.calibrate) if arguments.int8 else []
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "model.onnx"
        _export(predictor, arguments, plain)
        if not arguments.int8:
            return export_openvino(plain, output)
        quantize = quantize_openvino if arguments.format == "openvino" else quantize_onnx
        description = quantize(plain, output, images)
        if arguments.val_json:
            before, after = (
                calibration.average_precision(path, arguments.val_json, arguments.val_images)
                for path in (plain, output)
            )
            print(f"mask AP {before:.2f} in fp32, {after:.2f} in int8")
    return description
