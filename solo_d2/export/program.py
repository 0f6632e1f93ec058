"""The traced program of an inference of fixed shapes, for any batch and size, and what is said about it."""

from collections.abc import Callable

import torch
from torch import Tensor

from detectron2.config import CfgNode
from detectron2.data import Metadata
from solo_d2.engine.model_card import card_of
from solo_d2.engine.weights import preprocessing_of
from solo_d2.modeling.fixed_inference import FixedInference
from solo_d2.utils.errors import InputError

from .fixed import restoring
from .onnx_file import Description

# Names of an exported model's inputs; only a model that needs sizes has the second one.
INPUTS = ["images", "sizes"]
# Largest difference of scores between an exported model and its original; rounding gives about 1e-5.
_TOLERANCE = 1e-3


def describe(fixed: FixedInference, cfg: CfgNode, metadata: Metadata) -> Description:
    """Returns what an exported file says about itself.

    Raises:
        InputError: The model is not on the CPU.
    """
    model = fixed.model
    if model.device.type != "cpu":
        raise InputError("only a model on the CPU can be exported: build it with device cpu")
    return Description(
        card=card_of(cfg, metadata),
        preprocessing=preprocessing_of(cfg),
        size_divisibility=max(model.backbone.size_divisibility, 1),
        num_candidates=fixed.num_candidates,
        masks=fixed.masks,
        **restoring(fixed),
    )


def example(fixed: FixedInference, batch: int, height: int, width: int) -> tuple[Tensor, ...]:
    """Returns inputs of noise: images, and their sizes where the model needs them."""
    images = torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(0)) * 255
    return (images, torch.tensor([[height, width]] * batch)) if fixed.needs_sizes else (images,)


@torch.no_grad()
def trace(fixed: FixedInference, step: int) -> torch.export.ExportedProgram:
    """Traces a model whose batch, height and width vary; these sides are multiples of the step."""
    batch, rows, columns = (
        torch.export.Dim(name, min=1, max=1 << 10) for name in ("batch", "rows", "columns")
    )
    inputs = example(fixed, 2, 4 * step, 5 * step)
    # No operator inside the network rounds such a size.
    shapes = ({0: batch, 2: step * rows, 3: step * columns}, {0: batch})[: len(inputs)]
    return torch.export.export(fixed, inputs, dynamic_shapes=shapes, strict=False)


@torch.no_grad()
def compare(fixed: FixedInference, run: Callable[..., Tensor], step: int) -> None:
    """Checks an exported model on noise of another batch and size than :func:`trace` has seen.

    Args:
        fixed: The model.
        run: Maps its inputs to the exported model's scores.
        step: The images' sides are multiples of it.

    Raises:
        InputError: The scores differ.
    """
    inputs = example(fixed, 3, 3 * step, 7 * step)
    difference = (run(*inputs) - fixed(*inputs)["scores"]).abs().max().item()
    if not difference <= _TOLERANCE:
        raise InputError(
            f"the exported model's scores differ from the model's by {difference:.2g}, so nothing was "
            "written: torch or onnxscript convert it wrongly; docs/deploy.md names tested versions"
        )
