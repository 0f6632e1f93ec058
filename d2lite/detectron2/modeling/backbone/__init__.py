"""Backbones: images in, named feature maps out."""

from .backbone import Backbone
from .build import BACKBONE_REGISTRY, build_backbone
from .fpn import FPN
from .resnet import ResNet, build_resnet_backbone

__all__ = ["BACKBONE_REGISTRY", "Backbone", "FPN", "ResNet", "build_backbone", "build_resnet_backbone"]
