"""Quantizes an exported model to int8 by what it computes for some pictures (static quantization).

Convolutions are quantized but for the last ones of each branch, which predict scores, kernels, and mask
features. They and all that follows, selection, NMS, and masks, stay in float32.
"""

import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import Tensor

from solo_d2.utils.atomic_file import write_bytes
from solo_d2.utils.errors import InputError

from . import onnx_export, openvino_export
from .onnx_file import Description, required, store
from .onnx_runtime import OnnxModel
from .openvino_runtime import following

# Parts of the names of the weights of convolutions that stay in float32.
_PREDICTORS = ("predictor", "controller")


def quantize_onnx(
    source: str | os.PathLike, output: str | os.PathLike, images: Sequence[Tensor]
) -> Description:
    """Writes an exported ONNX file with int8 convolutions, for ONNX Runtime (QDQ format).

    Weights have 7 bits, so that sums do not overflow on CPUs without VNNI instructions.

    Args:
        source: A file that :func:`export_onnx` has written.
        output: File to write, .onnx.
        images: Typical images (3, H, W), resized as the model's, values 0 to 255 in its order of channels.

    Returns:
        What the file says about itself.

    Raises:
        InputError: There is no image, a package is missing, the source is no such file, or the output cannot
            be written.
    """
    onnx_export.check_output(output)
    model = _calibrated(source, images)
    onnx, tools = required("onnx"), required("onnxruntime.quantization")
    with tempfile.TemporaryDirectory() as folder, _quiet("root"):
        prepared, quantized = (os.path.join(folder, name) for name in ("prepared.onnx", "quantized.onnx"))
        required("onnxruntime.quantization.shape_inference").quant_pre_process(
            os.fspath(source), prepared, skip_symbolic_shape=True
        )
        tools.quantize_static(
            prepared,
            quantized,
            _Reader(model, images),
            quant_format=tools.QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=[node.name for node in onnx.load(prepared).graph.node if _predicts(node.input)],
            per_channel=True,
            reduce_range=True,
        )
        proto = onnx.load(quantized)
    del proto.metadata_props[:]
    description = replace(model.description, precision="int8")
    write_bytes(output, store(proto, description))
    return description


def quantize_openvino(
    source: str | os.PathLike, output: str | os.PathLike, images: Sequence[Tensor]
) -> Description:
    """Writes an exported ONNX file as OpenVINO IR with int8 convolutions, by NNCF.

    Args:
        source: A file that :func:`export_onnx` has written.
        output: File to write, .xml; its weights get the same name with .bin.
        images: See :func:`quantize_onnx`.

    Returns:
        What the file says about itself.

    Raises:
        InputError: See :func:`quantize_onnx`.
    """
    openvino_export.check_output(output)
    nncf = required("nncf")
    model = _calibrated(source, images)
    network = openvino_export.read_onnx(source)
    with _quiet("nncf"):
        quantized = nncf.quantize(
            network,
            nncf.Dataset(images, lambda image: model.feeds([image])),
            subset_size=len(images),
            ignored_scope=nncf.IgnoredScope(names=_float_operators(network), validate=False),
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix="enable"),
        )
    description = replace(model.description, precision="int8")
    openvino_export.save(quantized, description, output)
    return description


class _Reader:
    """Images one by one, as ONNX Runtime's calibration asks for them."""

    def __init__(self, model: OnnxModel, images: Sequence[Tensor]):
        self._feeds = (model.feeds([image]) for image in images)

    def get_next(self) -> dict | None:
        """Returns the inputs of the next image; None at the end."""
        return next(self._feeds, None)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Would choose a part of the images for models of several gigabytes."""
        raise NotImplementedError


def _calibrated(source: str | os.PathLike, images: Sequence[Tensor]) -> OnnxModel:
    """Opens the model to quantize.

    Raises:
        InputError: It is quantized already, or there are no images.
    """
    model = OnnxModel(source)
    if model.description.precision != "fp32":
        raise InputError(f"{os.fspath(source)} is quantized already: give a file in fp32")
    if not images:
        raise InputError("there are no images to calibrate with")
    return model


def _predicts(names: Sequence[str]) -> bool:
    """Tells whether a name among an operator's inputs is a predicting convolution's weight."""
    return any(part in name for name in names for part in _PREDICTORS)


def _float_operators(network: Any) -> list[str]:
    """Returns names of the predicting convolutions of an ``openvino.Model`` and of all that follows them."""
    constants = [one for one in network.get_ops() if one.get_type_name() == "Constant"]
    weights = [one for one in constants if _predicts([one.get_friendly_name()])]
    predicting = [target.get_node() for one in weights for target in one.output(0).get_target_inputs()]
    return [one.get_friendly_name() for one in following(predicting)]


@contextmanager
def _quiet(logger_name: str) -> Iterator[None]:
    """Hides remarks of the quantization packages."""
    logger = logging.getLogger(logger_name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
