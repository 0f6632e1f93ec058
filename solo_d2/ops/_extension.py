"""Loads the compiled kernels, if this installation has them; without them the references run."""

import logging
from functools import cache
from pathlib import Path

import torch

logger = logging.getLogger(__name__)
OPERATORS = (
    "pack_masks",
    "mask_iou",
    "matrix_nms",
    "restore_masks",
    "restore_crops",
    "encode_masks",
    "encode_crops",
)


@cache
def load_extension() -> str:
    """Registers the kernels of ``solo_d2/_C*`` with the existing schemas.

    Returns:
        "" if they were loaded, else the reason. Logged once.
    """
    package = Path(__file__).resolve().parents[1]
    found = sorted([*package.glob("_C*.so"), *package.glob("_C*.pyd")])
    if not found:
        reason = "not built"
    else:
        try:
            torch.ops.load_library(str(found[0]))
            return ""
        except (OSError, RuntimeError) as error:
            reason = f"{found[0].name} does not fit torch {torch.__version__}: {str(error).splitlines()[0]}"
    logger.info(
        "the operators run as their PyTorch references, their compiled kernels are missing (%s): "
        "install solo_d2 again with `pip install --no-build-isolation .`",
        reason,
    )
    return reason


def active_kernels(operator: str) -> dict[str, str]:
    """Returns the kernels of an operator of :data:`OPERATORS` by device type: "compiled" or "reference"."""
    name = f"solo_d2::{operator}"
    compiled = {
        device: torch._C._dispatch_has_kernel_for_dispatch_key(name, key)
        for device, key in (("cpu", "CPU"), ("cuda", "CUDA"))
    }
    return {device: "compiled" if there else "reference" for device, there in compiled.items()}
