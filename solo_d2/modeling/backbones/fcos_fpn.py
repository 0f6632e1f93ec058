"""Feature pyramids as FCOS uses them: p3 to p5, and p6, p7 made from p5 (CondInst paper, section 2.1)."""

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, FPN, Backbone, build_resnet_backbone
from detectron2.modeling.backbone.fpn import LastLevelP6P7
from solo_d2.utils.errors import InputError

from .dla import DLA


@BACKBONE_REGISTRY.register()
def build_fcos_resnet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Builds ``MODEL.RESNETS`` under ``MODEL.FPN`` with ``MODEL.FCOS.TOP_LEVELS``."""
    return fpn_from_config(cfg, build_resnet_backbone(cfg, input_shape))


@BACKBONE_REGISTRY.register()
def build_fcos_dla_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Builds DLA-34 under ``MODEL.FPN`` with ``MODEL.FCOS.TOP_LEVELS``."""
    return fpn_from_config(cfg, DLA(cfg, input_shape))


def fpn_from_config(cfg: CfgNode, bottom_up: Backbone) -> FPN:
    """Puts a pyramid on a backbone.

    Raises:
        InputError: If ``MODEL.FCOS.TOP_LEVELS`` is neither 0 nor 2.
    """
    channels, top_levels = cfg.MODEL.FPN.OUT_CHANNELS, cfg.MODEL.FCOS.TOP_LEVELS
    if top_levels not in (0, 2):
        raise InputError(f"FCOS.TOP_LEVELS must be 0 or 2 with an FPN, not {top_levels}.")
    return FPN(
        bottom_up=bottom_up,
        in_features=cfg.MODEL.FPN.IN_FEATURES,
        out_channels=channels,
        norm=cfg.MODEL.FPN.NORM,
        top_block=LastLevelP6P7(channels, channels, "p5") if top_levels else None,
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )
