"""Backbones from Detectron2's registry, deformable ones also without a GPU."""

from detectron2.config import CfgNode
from detectron2.modeling import Backbone, build_backbone
from solo_d2.layers import convert_deform_convs


def build_any_device_backbone(cfg: CfgNode) -> Backbone:
    """Builds ``MODEL.BACKBONE.NAME``; its deformable convolutions run on any device.

    Names and shapes of the parameters are those of Detectron2's backbone.
    """
    return convert_deform_convs(build_backbone(cfg))
