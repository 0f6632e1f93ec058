"""Chooses the runtime of an exported file."""

import os

from .onnx_runtime import OnnxModel
from .openvino_runtime import SUFFIX as OPENVINO_SUFFIX
from .openvino_runtime import OpenvinoModel


def load_exported(path: str | os.PathLike, precision: str = "fp32") -> OnnxModel:
    """Opens an exported file in its runtime.

    Args:
        path: The file, .onnx or .xml.
        precision: Number format of the arithmetic, see :class:`OnnxModel` and :class:`OpenvinoModel`.

    Raises:
        InputError: The file is missing, damaged or of another origin, its runtime is not installed, or has no
            such number format.
    """
    is_openvino = os.fspath(path).endswith(OPENVINO_SUFFIX)
    return OpenvinoModel(path, precision) if is_openvino else OnnxModel(path, precision)
