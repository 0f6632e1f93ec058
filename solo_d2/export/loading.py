"""Chooses the runtime of an exported file."""

import os
from pathlib import Path

from .onnx_runtime import OnnxModel
from .openvino_runtime import SUFFIX as OPENVINO_SUFFIX
from .openvino_runtime import OpenvinoModel
from .torch_export import SUFFIX as TORCH_SUFFIX
from .torch_export import TorchModel


def load_exported(path: str | os.PathLike, precision: str = "fp32") -> OnnxModel:
    """Opens an exported file in its runtime.

    Args:
        path: The file, .onnx, .xml or .pt2.
        precision: Number format of the arithmetic, see :class:`OnnxModel` and :class:`OpenvinoModel`.

    Raises:
        InputError: The file is missing, damaged or of another origin, its runtime is not installed, or has no
            such number format.
    """
    runtimes = {OPENVINO_SUFFIX: OpenvinoModel, TORCH_SUFFIX: TorchModel}
    return runtimes.get(Path(path).suffix, OnnxModel)(path, precision)
