"""Writes a trained model with its post-processing as one ONNX file."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from detectron2.config import CfgNode
from detectron2.data import Metadata
from solo_d2.engine.model_card import card_of
from solo_d2.engine.weights import preprocessing_of
from solo_d2.modeling.fixed_inference import FixedInference
from solo_d2.utils.atomic_file import atomic_write
from solo_d2.utils.errors import InputError

from . import tensorrt
from .fixed import fixed_inference, restoring
from .onnx_file import Description, required, store
from .onnx_runtime import start_session

SUFFIX = ".onnx"
_OPSET = 18
# Largest difference of scores between the file and the model; rounding gives about 1e-5.
_TOLERANCE = 1e-3


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
    if next(model.parameters()).device.type != "cpu":
        raise InputError("only a model on the CPU can be exported: build it with device cpu")
    step = max(fixed.model.backbone.size_divisibility, 1)
    description = Description(
        card=card_of(cfg, metadata),
        preprocessing=preprocessing_of(cfg),
        size_divisibility=step,
        num_candidates=fixed.num_candidates,
        masks=fixed.masks,
        **restoring(fixed),
    )
    if for_tensorrt:
        tensorrt.check_candidates(fixed.num_candidates)
    proto = _convert(fixed, step)
    if for_tensorrt:
        tensorrt.check_operators(proto)
    content = store(proto, description)
    with atomic_write(output, make_folder=True) as temporary:
        temporary.write_bytes(content)
        _compare(fixed, temporary, step)
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


def example(fixed: FixedInference, batch: int, height: int, width: int) -> tuple[Tensor, ...]:
    """Returns inputs of noise: images, and their sizes where the model needs them."""
    images = torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(0)) * 255
    return (images, torch.tensor([[height, width]] * batch)) if fixed.needs_sizes else (images,)


@torch.no_grad()
def _convert(fixed: FixedInference, step: int) -> Any:
    """Returns the ``onnx.ModelProto`` of a model whose batch, height and width vary."""
    batch, rows, columns = (
        torch.export.Dim(name, min=1, max=1 << 10) for name in ("batch", "rows", "columns")
    )
    inputs = example(fixed, 2, 4 * step, 5 * step)
    # Sizes are multiples of the step: no operator inside the network rounds one.
    shapes = ({0: batch, 2: step * rows, 3: step * columns}, {0: batch})[: len(inputs)]
    with _quiet():
        program = torch.export.export(fixed, inputs, dynamic_shapes=shapes, strict=False)
        names = list(fixed(*inputs))
        exported = torch.onnx.export(
            program,
            input_names=["images", "sizes"][: len(inputs)],
            output_names=names,
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
    assert exported is not None
    return exported.model_proto


@torch.no_grad()
def _compare(fixed: FixedInference, path: Path, step: int) -> None:
    """Runs the file and the model on noise of another batch and size than the export's.

    Raises:
        InputError: The results differ.
    """
    inputs = example(fixed, 3, 3 * step, 7 * step)
    wanted = fixed(*inputs)
    found = start_session(path.read_bytes(), str(path)).run(
        ["scores"], {name: value.numpy() for name, value in zip(("images", "sizes"), inputs, strict=False)}
    )[0]
    difference = (torch.from_numpy(found) - wanted["scores"]).abs().max().item()
    if not difference <= _TOLERANCE:
        raise InputError(
            f"the exported model's scores differ from the model's by {difference:.2g}, so nothing was "
            "written: torch or onnxscript convert it wrongly; docs/deploy.md names tested versions"
        )


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
