"""Writes an exported ONNX model as OpenVINO IR: two files, .xml and .bin."""

import os
import tempfile
from pathlib import Path
from typing import Any

import torch

from solo_d2.utils.atomic_file import write_bytes
from solo_d2.utils.errors import InputError

from . import checksum
from .onnx_file import Description, required
from .onnx_runtime import OnnxModel, read_content
from .openvino_runtime import (
    CHECKSUM,
    CHECKSUM_PATH,
    DESCRIPTION_PATH,
    SUFFIX,
    WEIGHTS_SUFFIX,
    compile_model,
)

# Largest difference of scores between both runtimes; rounding gives about 1e-5.
_TOLERANCE = 1e-3


def export_openvino(source: str | os.PathLike, output: str | os.PathLike) -> Description:
    """Converts an exported model to OpenVINO IR, in float32, for any batch and size.

    Both runtimes' scores are compared on noise.

    Args:
        source: A file that :func:`export_onnx` has written.
        output: File to write, .xml; its weights get the same name with .bin.

    Returns:
        What the file says about itself.

    Raises:
        InputError: A package is missing, the source is no such file, or the output cannot be written.
    """
    check_output(output)
    original = OnnxModel(source)
    model = read_onnx(source)
    _compare(original, compile_model(model, "fp32"))
    save(model, original.description, output)
    return original.description


def check_output(output: str | os.PathLike) -> None:
    """Raises ``InputError`` for a file name of another kind, and for a package that is missing."""
    if not os.fspath(output).endswith(SUFFIX):
        raise InputError(f"{os.fspath(output)}: the file name must end in {SUFFIX}")
    required("openvino")


def read_onnx(source: str | os.PathLike) -> Any:
    """Returns an exported ONNX file as ``openvino.Model``."""
    return required("openvino").Core().read_model(read_content(source))


def save(model: Any, description: Description, output: str | os.PathLike) -> None:
    """Writes a model (``openvino.Model``, changed in place) with its description and checksum.

    Raises:
        InputError: A file cannot be written.
    """
    model.set_rt_info(description.to_json(), DESCRIPTION_PATH)
    model.set_rt_info(checksum.EMPTY_CHECKSUM, CHECKSUM_PATH)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{SUFFIX}"
        required("openvino").save_model(model, path, compress_to_fp16=False)
        xml, weights = path.read_bytes(), path.with_suffix(WEIGHTS_SUFFIX).read_bytes()
    write_bytes(Path(output).with_suffix(WEIGHTS_SUFFIX), weights)
    write_bytes(output, checksum.fill_in(xml, CHECKSUM, weights))


def _compare(original: OnnxModel, compiled: Any) -> None:
    """Runs both on noise of two images.

    Raises:
        InputError: The scores differ.
    """
    step = original.description.size_divisibility
    noise = torch.rand(2, 3, 3 * step, 5 * step, generator=torch.Generator().manual_seed(0)) * 255
    feeds = original.feeds(list(noise))
    found = torch.from_numpy(compiled(feeds)["scores"])
    difference = (found - original.compute(feeds)["scores"]).abs().max().item()
    if not difference <= _TOLERANCE:
        raise InputError(
            f"OpenVINO's scores differ from ONNX Runtime's by {difference:.2g}, so nothing was written: "
            "docs/deploy.md names tested versions"
        )
