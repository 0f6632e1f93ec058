"""Deployable forms of a trained model."""

from .fixed import fixed_inference
from .loading import load_exported
from .onnx_export import export_onnx
from .openvino_export import export_openvino
from .quantization import quantize_onnx, quantize_openvino
from .torch_export import export_torch

__all__ = [
    "export_onnx",
    "export_openvino",
    "export_torch",
    "fixed_inference",
    "load_exported",
    "quantize_onnx",
    "quantize_openvino",
]
