"""CondInst's models: AdelaiDet's, with FPN or BiFPN, and mmdet 3's."""

from dataclasses import replace

from .adapter import Adapter
from .adelaidet import BACKBONE as DETECTRON2_BACKBONE
from .adelaidet import PIXELS, flat_block, flat_tower
from .name_rules import Rule
from .openmmlab import BACKBONE, conv_block
from .preprocessing import CAFFE, TORCHVISION
from .resnet import COUNTER

_FCOS = "proposal_generator.fcos_head"
_HEAD_AND_MASKS: tuple[Rule, ...] = (
    *flat_tower(f"{_FCOS}.cls_tower", "head.class_tower"),
    *flat_tower(f"{_FCOS}.bbox_tower", "head.box_tower"),
    *flat_tower(f"{_FCOS}.share_tower", "head.shared_tower"),
    (f"{_FCOS}.cls_logits", "head.class_predictor"),
    (f"{_FCOS}.bbox_pred", "head.box_predictor"),
    (f"{_FCOS}.ctrness", "head.centerness_predictor"),
    (f"{_FCOS}.scales.{{l}}.scale", "head.scales.{l}"),
    ("controller", "head.controller"),
    *flat_block("mask_branch.refine.{l}", "mask_branch.refiners.{l}"),
    *flat_block("mask_branch.tower.{k}", "mask_branch.tower.{k}"),
    # The public models' towers have four convolutions; the fifth entry is the predictor after them.
    ("mask_branch.tower.4", "mask_branch.predictor"),
    *flat_block("mask_branch.seg_head.{k}", "semantic_branch.0.{k}"),
    ("mask_branch.logits", "semantic_branch.1"),
)
ADELAIDET_CONDINST = Adapter(
    name="adelaidet-condinst",
    title="AdelaiDet's CondInst",
    marks=("proposal_generator.fcos_head.cls_logits.", "mask_branch.refine.", "backbone.fpn_"),
    rules=(*DETECTRON2_BACKBONE, *_HEAD_AND_MASKS),
    preprocessing=replace(CAFFE, short_side=800, long_side=1333),
    expendable=(
        COUNTER,
        PIXELS,
        (r"^mask_head\._iter$", "AdelaiDet's count of iterations"),
        (r"^mask_head\.sizes_of_interest$", "set by the config here"),
    ),
    lists_of_one=("head.scales.",),
)

# A BiFPN layer's nodes for five levels, by level and by the maps that they fuse: inputs are 0 to 4, followed
# by the nodes' outputs.
_TOP_DOWN = {3: "3_4", 2: "2_5", 1: "1_6", 0: "0_7"}
_BOTTOM_UP = {1: "1_7_8", 2: "2_6_9", 3: "3_5_10", 4: "4_11"}
_NODES = [
    *((f"f{level}_{maps}", f"top_down.{level}") for level, maps in _TOP_DOWN.items()),
    *((f"f{level}_{maps}", f"bottom_up.{level - 1}") for level, maps in _BOTTOM_UP.items()),
]
_BIFPN: tuple[Rule, ...] = (
    ("backbone.bottom_up.backbone", "backbone.bottom_up"),
    ("backbone.bottom_up.res6.reduction", "backbone.reducer"),
    ("backbone.repeated_bifpn.{i}.lateral_{l}_f{l}", "backbone.layers.{i}.laterals.{l}"),
    *(
        (f"backbone.repeated_bifpn.{{i}}.{kind}_{one}", f"backbone.layers.{{i}}.{other}.{part}")
        for one, other in _NODES
        for kind, part in (("weights", "weights"), ("outputs", "conv"))
    ),
)
ADELAIDET_CONDINST_BIFPN = replace(
    ADELAIDET_CONDINST,
    name="adelaidet-condinst-bifpn",
    title="AdelaiDet's CondInst with BiFPN",
    marks=(*ADELAIDET_CONDINST.marks[:2], "backbone.repeated_bifpn."),
    rules=(*_BIFPN, *_HEAD_AND_MASKS),
)


def _bn_block(foreign: str, native: str) -> tuple[Rule, ...]:
    """Returns rules of a convolution block with batch normalization."""
    return ((f"{foreign}.conv", native), (f"{foreign}.bn", f"{native}.norm"))


MMDET_CONDINST = Adapter(
    name="mmdet-condinst",
    title="mmdet 3's CondInst",
    marks=("bbox_head.controller.", "bbox_head.conv_cls."),
    rules=(
        *BACKBONE,
        ("neck.lateral_convs.{l}.conv", "backbone.fpn_lateral{l+3}"),
        ("neck.fpn_convs.{l}.conv", "backbone.fpn_output{l+3}"),
        ("neck.fpn_convs.3.conv", "backbone.top_block.p6"),
        ("neck.fpn_convs.4.conv", "backbone.top_block.p7"),
        *conv_block("bbox_head.cls_convs.{k}", "head.class_tower.{k}"),
        *conv_block("bbox_head.reg_convs.{k}", "head.box_tower.{k}"),
        ("bbox_head.conv_cls", "head.class_predictor"),
        ("bbox_head.conv_reg", "head.box_predictor"),
        ("bbox_head.conv_centerness", "head.centerness_predictor"),
        ("bbox_head.controller", "head.controller"),
        ("bbox_head.scales.{l}.scale", "head.scales.{l}"),
        *_bn_block("mask_head.mask_feature_head.convs_all_levels.{l}.conv{l}", "mask_branch.refiners.{l}"),
        *_bn_block("mask_head.mask_feature_head.conv_branch.{k}", "mask_branch.tower.{k}"),
        ("mask_head.mask_feature_head.conv_pred", "mask_branch.predictor"),
    ),
    preprocessing=replace(TORCHVISION, short_side=800, long_side=1333),
    expendable=(COUNTER,),
)
