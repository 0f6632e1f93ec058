"""Backbones that Detectron2 lacks and the papers use, and the way every model here builds one."""

from .any_device import build_any_device_backbone
from .merged_resnet import MergedResNet

__all__ = ["MergedResNet", "build_any_device_backbone"]
