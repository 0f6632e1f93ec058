"""Feature pyramids with p6 and p7 computed from p5 (FCOS; CondInst paper, section 2.1) or p6 pooled."""

from torch import nn

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, FPN, Backbone, build_resnet_backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool, LastLevelP6P7
from solo_d2.modeling.meta_architecture import WeightKey
from solo_d2.utils.errors import InputError
from solo_d2.utils.settings import build

from .dla import DLA

TOP_BLOCK_WEIGHT_KEYS = (
    WeightKey(
        r"backbone\.top_block\.",
        "MODEL.FPN.OUT_CHANNELS",
        presence="MODEL.BACKBONE.NAME or MODEL.FCOS.TOP_LEVELS",
    ),
)


@BACKBONE_REGISTRY.register()
def build_fcos_resnet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Builds ``MODEL.RESNETS`` under ``MODEL.FPN`` with ``MODEL.FCOS.TOP_LEVELS``."""
    return fpn_from_config(cfg, build_resnet_backbone(cfg, input_shape))


@BACKBONE_REGISTRY.register()
def build_fcos_dla_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Builds DLA-34 under ``MODEL.FPN`` with ``MODEL.FCOS.TOP_LEVELS``."""
    return fpn_from_config(cfg, DLA(cfg, input_shape))


def fpn_from_config(cfg: CfgNode, bottom_up: Backbone) -> FPN:
    """Builds a pyramid on a backbone.

    Raises:
        InputError: If ``MODEL.FCOS.TOP_LEVELS`` is neither 0 nor 2.
    """
    channels, top_levels = cfg.MODEL.FPN.OUT_CHANNELS, cfg.MODEL.FCOS.TOP_LEVELS
    if top_levels not in (0, 2):
        raise InputError(f"MODEL.FCOS.TOP_LEVELS must be 0 or 2 with an FPN, not {top_levels}.")
    return _fpn_from_config(cfg, bottom_up, LastLevelP6P7(channels, channels, "p5") if top_levels else None)


def fpn_with_pooled_level(cfg: CfgNode, bottom_up: Backbone) -> FPN:
    """Builds ``MODEL.FPN`` with p6 by max pooling on a backbone, as ``build_resnet_fpn_backbone`` does."""
    return _fpn_from_config(cfg, bottom_up, LastLevelMaxPool())


def _fpn_from_config(cfg: CfgNode, bottom_up: Backbone, top_block: nn.Module | None) -> FPN:
    return build(FPN, cfg, "MODEL.FPN", bottom_up=bottom_up, top_block=top_block)
