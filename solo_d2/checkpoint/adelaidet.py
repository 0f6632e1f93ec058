"""AdelaiDet's and FreeSOLO's SOLOv2, on Detectron2's backbones."""

from dataclasses import replace

from .adapter import Adapter
from .name_rules import Rule
from .openmmlab import TEST_SIZES
from .preprocessing import CAFFE, TORCHVISION
from .resnet import COUNTER


def flat_tower(foreign: str, native: str) -> tuple[Rule, ...]:
    """Returns rules of a flat sequence of convolution, norm and ReLU."""
    return ((f"{foreign}.{{3*k}}", f"{native}.{{k}}"), (f"{foreign}.{{3*k+1}}", f"{native}.{{k}}.norm"))


def flat_block(foreign: str, native: str) -> tuple[Rule, ...]:
    """Returns rules of a sequence of convolution and norm."""
    return ((f"{foreign}.0", native), (f"{foreign}.1", f"{native}.norm"))


_BACKBONE_PARTS = ("bottom_up", "fpn_lateral{l}", "fpn_output{l}", "top_block")
BACKBONE: tuple[Rule, ...] = tuple((f"backbone.{part}", f"backbone.{part}") for part in _BACKBONE_PARTS)
_RULES: tuple[Rule, ...] = (
    *BACKBONE,
    *flat_tower("ins_head.cate_tower", "head.category_tower"),
    *flat_tower("ins_head.kernel_tower", "head.kernel_tower"),
    ("ins_head.cate_pred", "head.category_predictor"),
    ("ins_head.kernel_pred", "head.kernel_predictor"),
    *flat_block("mask_head.convs_all_levels.{l}.conv{k}", "mask_head.branches.{l}.convs.{k}"),
    *flat_block("mask_head.conv_pred", "mask_head.predictor"),
)
PIXELS = (r"^pixel_(mean|std)$", "set by the config here")

ADELAIDET = Adapter(
    name="adelaidet",
    title="AdelaiDet",
    marks=("ins_head.cate_pred.", "ins_head.kernel_pred."),
    rules=_RULES,
    preprocessing=CAFFE,
    test_sizes=TEST_SIZES,
    expendable=(COUNTER, PIXELS),
)
FREESOLO = replace(
    ADELAIDET,
    name="freesolo",
    title="FreeSOLO",
    # FreeSOLO's models, also fine-tuned ones, count iterations; AdelaiDet's do not.
    marks=("ins_head.cate_pred.", ("ins_head.emb_pred.", "_iter")),
    rules=(*_RULES, ("ins_head.emb_pred", "head.embedding_predictor")),
    preprocessing=TORCHVISION,
    expendable=(COUNTER, PIXELS, (r"^_iter$", "FreeSOLO's count of iterations")),
)
