"""Backbones, the registry of meta-architectures and resizing of results."""

from detectron2.modeling.backbone import (
    BACKBONE_REGISTRY,
    FPN,
    Backbone,
    ResNet,
    ResNetBlockBase,
    build_backbone,
    build_resnet_backbone,
    make_stage,
)
from detectron2.modeling.meta_arch import META_ARCH_REGISTRY, build_model

__all__ = [
    "BACKBONE_REGISTRY",
    "Backbone",
    "FPN",
    "META_ARCH_REGISTRY",
    "ResNet",
    "ResNetBlockBase",
    "build_backbone",
    "build_model",
    "build_resnet_backbone",
    "make_stage",
]
