"""The original SOLO's (mmdet 1), mmdet 2's and mmdet 3's detectors."""

from .adapter import Adapter, PublishedSizes
from .name_rules import Rule, below
from .preprocessing import TORCHVISION
from .resnet import BOTTOM_UP, COUNTER, TORCHVISION_RULES

BACKBONE = below(TORCHVISION_RULES, "backbone.", BOTTOM_UP)
# P2 is the neck's level 0.
_NECK: tuple[Rule, ...] = (
    ("neck.lateral_convs.{l}.conv", "backbone.fpn_lateral{l+2}"),
    ("neck.fpn_convs.{l}.conv", "backbone.fpn_output{l+2}"),
)


def conv_block(foreign: str, native: str) -> tuple[Rule, ...]:
    """Returns rules of an ordinary convolution block: convolution and norm."""
    return ((f"{foreign}.conv", native), (f"{foreign}.gn", f"{native}.norm"))


def _deformable_block(foreign: str, native: str) -> tuple[Rule, ...]:
    """Returns rules of a block whose convolution has offsets."""
    return (
        (f"{foreign}.conv.conv_offset", f"{native}.offset"),
        (f"{foreign}.conv.conv_offset_mask", f"{native}.offset"),
        (f"{foreign}.conv", f"{native}.conv"),
        (f"{foreign}.gn", f"{native}.conv.norm"),
    )


# SOLO's and SOLOv2's public model lists.
TEST_SIZES = PublishedSizes(
    tower="head.category_tower",
    sizes={
        (7, 256): (800, 1333),  # SOLO, Decoupled SOLO
        (4, 512): (800, 1333),  # SOLOv2
        (4, 256): (512, 852),  # Decoupled SOLO light
        (3, 256): (512, 852),  # SOLOv2 light 512
        (2, 256): (448, 768),  # SOLOv2 light 448
    },
)


def _adapter(
    name: str,
    title: str,
    marks: tuple[str, ...],
    predictors: tuple[Rule, ...],
    towers: tuple[Rule, ...],
    mask_feature: str,
    mask_predictor: str,
) -> Adapter:
    """Returns an adapter of the SOLO family.

    Args:
        name: The adapter's name.
        title: The adapter's title.
        marks: The adapter's marks.
        predictors: Rules of last layers.
        towers: Pairs of a list of blocks and the native tower.
        mask_feature: SOLOv2's mask feature branch.
        mask_predictor: The last block of the mask feature branch.
    """
    blocks = [(f"{foreign}.{{k}}", f"{native}.{{k}}") for foreign, native in towers]
    blocks.append((f"{mask_feature}.convs_all_levels.{{l}}.conv{{k}}", "mask_head.branches.{l}.convs.{k}"))
    blocks.append((f"{mask_feature}.{mask_predictor}", "mask_head.predictor"))
    return Adapter(
        name=name,
        title=title,
        marks=marks,
        rules=(*BACKBONE, *_NECK, *predictors, *(rule for pair in blocks for rule in conv_block(*pair))),
        deformable_rules=tuple(rule for pair in blocks for rule in _deformable_block(*pair)),
        preprocessing=TORCHVISION,
        test_sizes=TEST_SIZES,
        expendable=(COUNTER,),
    )


def _original(name: str, title: str, category: str, masks: str) -> Adapter:
    """Returns the adapter of SOLO and SOLOv2, or of Decoupled SOLO, whose last layers have other names."""
    return _adapter(
        name,
        title,
        (f"bbox_head.{category}.",),
        (
            (f"bbox_head.{category}", "head.category_predictor"),
            ("bbox_head.solo_kernel", "head.kernel_predictor"),
            (f"bbox_head.{masks}_list.{{l}}", "head.mask_predictors.{l}"),
            (f"bbox_head.{masks}_list_x.{{l}}", "head.predictors_x.{l}"),
            (f"bbox_head.{masks}_list_y.{{l}}", "head.predictors_y.{l}"),
        ),
        (
            ("bbox_head.cate_convs", "head.category_tower"),
            ("bbox_head.kernel_convs", "head.kernel_tower"),
            ("bbox_head.ins_convs", "head.mask_tower"),
            ("bbox_head.ins_convs_x", "head.mask_tower_x"),
            ("bbox_head.ins_convs_y", "head.mask_tower_y"),
        ),
        "mask_feat_head",
        "conv_pred.0",
    )


def _mmdet(name: str, title: str, head: str, mask_feature: str) -> Adapter:
    return _adapter(
        name,
        title,
        (f"{head}.conv_cls.", f"{head}.cls_convs.", mask_feature.removesuffix(".mask_feature_head")),
        (
            (f"{head}.conv_cls", "head.category_predictor"),
            (f"{head}.conv_kernel", "head.kernel_predictor"),
            (f"{head}.conv_mask_list.{{l}}", "head.mask_predictors.{l}"),
            (f"{head}.conv_mask_list_x.{{l}}", "head.predictors_x.{l}"),
            (f"{head}.conv_mask_list_y.{{l}}", "head.predictors_y.{l}"),
        ),
        (
            (f"{head}.cls_convs", "head.category_tower"),
            (f"{head}.kernel_convs", "head.kernel_tower"),
            (f"{head}.mask_convs", "head.mask_tower"),
            (f"{head}.mask_convs_x", "head.mask_tower_x"),
            (f"{head}.mask_convs_y", "head.mask_tower_y"),
        ),
        mask_feature,
        "conv_pred",
    )


ORIGINAL_SOLO = _original("original", "the original SOLO", "solo_cate", "solo_ins")
ORIGINAL_DECOUPLED_SOLO = _original(
    "original-decoupled", "the original Decoupled SOLO", "dsolo_cate", "dsolo_ins"
)
# Ports of mmdet's heads that keep the mask feature branch next to the head, as the original did.
MMDET_MASK_FEAT_HEAD = _mmdet(
    "mmdet-mask-feat-head", "mmdet with a separate mask_feat_head", "mask_head", "mask_feat_head"
)
MMDET = _mmdet("mmdet", "mmdet 2 and 3", "mask_head", "mask_head.mask_feature_head")
MMDET_BBOX_HEAD = _mmdet(
    "mmdet-bbox-head", "mmdet with the head named bbox_head", "bbox_head", "mask_feat_head"
)
