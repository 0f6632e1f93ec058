"""Backbones, and the registries of backbones and meta-architectures."""

from .backbone import BACKBONE_REGISTRY, FPN, Backbone, build_backbone, build_resnet_backbone
from .meta_arch import META_ARCH_REGISTRY, build_model

__all__ = [
    "BACKBONE_REGISTRY",
    "Backbone",
    "FPN",
    "META_ARCH_REGISTRY",
    "build_backbone",
    "build_model",
    "build_resnet_backbone",
]
