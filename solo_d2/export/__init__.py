"""Deployable forms of a trained model."""

from .fixed import fixed_inference
from .onnx_export import export_onnx

__all__ = ["export_onnx", "fixed_inference"]
