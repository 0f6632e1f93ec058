"""Backbones of the papers that Detectron2 does not have, and the functions that build them."""

from solo_d2.modeling.meta_architecture import build_any_device_backbone

from .bifpn import BiFPN, build_fcos_resnet_bifpn_backbone
from .dla import DLA
from .efficientnet_lite import EfficientNetLite
from .fcos_fpn import build_fcos_dla_fpn_backbone, build_fcos_resnet_fpn_backbone
from .merged_resnet import MergedResNet
from .pretrained_features import PretrainedFeatures
from .resnet_d import build_fcos_resnet_d_fpn_backbone, build_resnet_d_backbone, build_resnet_d_fpn_backbone
from .weight_keys import BACKBONE_WEIGHT_KEYS, BACKBONE_WEIGHT_PARTS

__all__ = [
    "BACKBONE_WEIGHT_KEYS",
    "BACKBONE_WEIGHT_PARTS",
    "BiFPN",
    "DLA",
    "EfficientNetLite",
    "MergedResNet",
    "PretrainedFeatures",
    "build_any_device_backbone",
    "build_fcos_dla_fpn_backbone",
    "build_fcos_resnet_bifpn_backbone",
    "build_fcos_resnet_d_fpn_backbone",
    "build_fcos_resnet_fpn_backbone",
    "build_resnet_d_backbone",
    "build_resnet_d_fpn_backbone",
]
