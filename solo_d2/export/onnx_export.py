"""Writes a trained model with its post-processing as one ONNX file."""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from detectron2.config import CfgNode
from detectron2.data import Metadata
from solo_d2.modeling.fixed_inference import FixedInference
from solo_d2.utils.atomic_file import atomic_write
from solo_d2.utils.errors import InputError

from . import tensorrt
from .fixed import fixed_inference
from .onnx_file import Description, required, store
from .onnx_runtime import start_session
from .program import INPUTS, compare, describe, example, trace

SUFFIX = ".onnx"
_OPSET = 18


def export_onnx(
    model: nn.Module,
    cfg: CfgNode,
    metadata: Metadata,
    output: str | os.PathLike,
    *,
    num_candidates: int = 0,
    masks: str = "soft",
    for_tensorrt: bool = False,
) -> Description:
    """Writes a model for ONNX runtimes, for any batch and size; docs/deploy.md describes its inputs.

    The file is compared with the model at a size and a batch that differ from those of the export.

    Args:
        model: See :func:`fixed_inference`; on the CPU. ``Predictor(...).model`` is one.
        cfg: Its config, for the preprocessing and the thresholds that the file states.
        metadata: Names of its classes.
        output: File to write, .onnx.
        num_candidates: See :func:`fixed_inference`.
        masks: See :func:`fixed_inference`; :class:`Predictor` needs soft ones.
        for_tensorrt: Whether to refuse what TensorRT does not take.

    Returns:
        What the file says about itself.

    Raises:
        InputError: The model has no such form, a package is missing, TensorRT would refuse the file, or it
            cannot be written.
    """
    check_output(output)
    fixed = fixed_inference(model, num_candidates, masks)
    description = describe(fixed, cfg, metadata)
    step = description.size_divisibility
    if for_tensorrt:
        tensorrt.check_candidates(fixed.num_candidates)
    proto = _convert(fixed, step)
    if for_tensorrt:
        tensorrt.check_operators(proto)
    content = store(proto, description)
    with atomic_write(output, make_folder=True) as temporary:
        temporary.write_bytes(content)
        compare(fixed, _runner(temporary), step)
    return description


def check_output(output: str | os.PathLike) -> None:
    """Raises ``InputError`` for a file name of another kind, and for a package that is missing."""
    if not os.fspath(output).endswith(SUFFIX):
        raise InputError(f"{os.fspath(output)}: the file name must end in {SUFFIX}")
    check_packages()


def check_packages() -> None:
    """Raises ``InputError`` for a package that is missing."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        required(package)


@torch.no_grad()
def _convert(fixed: FixedInference, step: int) -> Any:
    """Returns the ``onnx.ModelProto`` of a model whose batch, height and width vary."""
    inputs = example(fixed, 1, 4 * step, 4 * step)
    with _quiet():
        names = list(fixed(*inputs))
        exported = torch.onnx.export(
            trace(fixed, step),
            input_names=INPUTS[: len(inputs)],
            output_names=names,
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
    assert exported is not None
    return exported.model_proto


def _runner(path: Path) -> Callable[..., Tensor]:
    """Returns a file's function from inputs to scores."""
    session = start_session(path.read_bytes(), str(path))

    def run(*inputs: Tensor) -> Tensor:
        feeds = {name: value.numpy() for name, value in zip(INPUTS, inputs, strict=False)}
        return torch.from_numpy(session.run(["scores"], feeds)[0])

    return run


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides the exporter's remarks on packages that the model does not need."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
