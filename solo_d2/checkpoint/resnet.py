"""ResNet backbones: torchvision, timm and mmcv, Caffe2 (MSRA's and FAIR's), Detectron2's own, DenseCL."""

from .adapter import Adapter
from .name_rules import Rule, below
from .preprocessing import CAFFE, TORCHVISION, Preprocessing

BOTTOM_UP = "backbone.bottom_up."
COUNTER = (r"\.num_batches_tracked$", "a counter of batch normalization that frozen layers do not have")
_CLASSIFIER = (r"^(fc|linear|pred|fc1000)[._]", "the ImageNet classifier")

TORCHVISION_RULES: tuple[Rule, ...] = (
    ("conv1", "stem.conv1"),
    ("bn1", "stem.conv1.norm"),
    ("layer{s}.{b}.conv{c}.conv_offset", "res{s+1}.{b}.conv{c}_offset"),
    # mmdet's names before 1.0, which later versions read as the one above; the channels have the same order.
    ("layer{s}.{b}.conv{c}_offset", "res{s+1}.{b}.conv{c}_offset"),
    ("layer{s}.{b}.conv{c}.conv_offset_mask", "res{s+1}.{b}.conv{c}_offset"),
    ("layer{s}.{b}.conv{c}", "res{s+1}.{b}.conv{c}"),
    ("layer{s}.{b}.bn{c}", "res{s+1}.{b}.conv{c}.norm"),
    ("layer{s}.{b}.downsample.0", "res{s+1}.{b}.shortcut"),
    ("layer{s}.{b}.downsample.1", "res{s+1}.{b}.shortcut.norm"),
)

_CONVOLUTIONS: tuple[Rule, ...] = (
    ("layer{s}.{b}.conv{c}", "res{s+1}.{b}.conv{c}"),
    ("layer{s}.{b}.bn{c}", "res{s+1}.{b}.conv{c}.norm"),
    ("layer{s}.{b}.downsample.1", "res{s+1}.{b}.shortcut"),
    ("layer{s}.{b}.downsample.2", "res{s+1}.{b}.shortcut.norm"),
)
# Their stem is a list of convolutions, norms and activations; index 0 of a shortcut is its pooling.
_TIMM_D_RULES: tuple[Rule, ...] = (
    ("conv1.{3*k}", "stem.conv{k+1}"),
    ("conv1.{3*k+1}", "stem.conv{k+1}.norm"),
    ("bn1", "stem.conv3.norm"),
    *_CONVOLUTIONS,
)
_OPENMMLAB_D_RULES: tuple[Rule, ...] = (
    ("stem.{3*k}", "stem.conv{k+1}"),
    ("stem.{3*k+1}", "stem.conv{k+1}.norm"),
    *_CONVOLUTIONS,
)
# ResNet-vd of PaddlePaddle, as converted for RT-DETR in PyTorch.
_PADDLE_VD_RULES: tuple[Rule, ...] = (
    ("conv1.conv1_{k}.conv", "stem.conv{k}"),
    ("conv1.conv1_{k}.norm", "stem.conv{k}.norm"),
    *(
        (f"res_layers.{{s}}.blocks.{{b}}.branch2{letter}.{part}", f"res{{s+2}}.{{b}}.conv{number}{name}")
        for number, letter in enumerate("abc", start=1)
        for part, name in (("conv", ""), ("norm", ".norm"))
    ),
    # Only the first stage's shortcut has no pooling, and so no "conv." in between.
    ("res_layers.0.blocks.{b}.short.conv", "res2.{b}.shortcut"),
    ("res_layers.0.blocks.{b}.short.norm", "res2.{b}.shortcut.norm"),
    ("res_layers.{s}.blocks.{b}.short.conv.conv", "res{s+2}.{b}.shortcut"),
    ("res_layers.{s}.blocks.{b}.short.conv.norm", "res{s+2}.{b}.shortcut.norm"),
)

# Caffe2's names have no dots, so each is a separate rule. A norm's affine parameters are "_bn_s", "_bn_b".
_CAFFE2_LEAVES = (
    ("_w", ".weight"),
    ("_bn_s", ".norm.weight"),
    ("_bn_b", ".norm.bias"),
    ("_bn_rm", ".norm.running_mean"),
    ("_bn_riv", ".norm.running_var"),
)
_CAFFE2_LAYERS = (
    ("res{s}_{b}_branch1", "res{s}.{b}.shortcut"),
    ("res{s}_{b}_branch2a", "res{s}.{b}.conv1"),
    ("res{s}_{b}_branch2b", "res{s}.{b}.conv2"),
    ("res{s}_{b}_branch2c", "res{s}.{b}.conv3"),
)
_CAFFE2_RULES: tuple[Rule, ...] = (
    ("conv1_w", "stem.conv1.weight"),
    *((f"res_conv1{one}", f"stem.conv1{other}") for one, other in _CAFFE2_LEAVES[1:]),
    *((a + one, b + other) for a, b in _CAFFE2_LAYERS for one, other in _CAFFE2_LEAVES),
)


def _backbone(
    name: str,
    title: str,
    marks: tuple[str, ...],
    rules: tuple[Rule, ...],
    preprocessing: Preprocessing,
    expendable: tuple[tuple[str, str], ...] = (),
    folded_statistics: bool = False,
) -> Adapter:
    return Adapter(
        name=name,
        title=title,
        marks=marks,
        rules=rules,
        preprocessing=preprocessing,
        expendable=(COUNTER, _CLASSIFIER, *expendable),
        whole_model=False,
        folded_statistics=folded_statistics,
    )


TORCHVISION_RESNET = _backbone(
    "torchvision",
    "torchvision's and timm's ResNets",
    ("conv1.weight", "layer1.0.conv1."),
    below(TORCHVISION_RULES, "", BOTTOM_UP),
    TORCHVISION,
)
TIMM_RESNET_D = _backbone(
    "resnet-d",
    "timm's ResNet-D",
    ("conv1.0.weight", "layer1.0.conv1."),
    below(_TIMM_D_RULES, "", BOTTOM_UP),
    TORCHVISION,
)
OPENMMLAB_RESNET_D = _backbone(
    "openmmlab-resnet-d",
    "OpenMMLab's ResNetV1d",
    ("backbone.stem.0.weight", "backbone.layer1.0.conv1."),
    below(_OPENMMLAB_D_RULES, "backbone.", BOTTOM_UP),
    TORCHVISION,
    ((r"^(neck|head)\.", "a part of the model the backbone was trained in"),),
)
PADDLE_RESNET_VD = _backbone(
    "resnet-vd",
    "PaddlePaddle's ResNet-vd",
    ("conv1.conv1_1.", "res_layers.0.blocks.0."),
    below(_PADDLE_VD_RULES, "", BOTTOM_UP),
    TORCHVISION,
)
# OpenSelfSup, mmpretrain and detectors without a recognized head.
OPENMMLAB_RESNET = _backbone(
    "openmmlab-resnet",
    "OpenMMLab's ResNets",
    ("backbone.conv1.", "backbone.layer1.0.conv1."),
    below(TORCHVISION_RULES, "backbone.", BOTTOM_UP),
    TORCHVISION,
    ((r"^(neck|head)\.", "a part of the model the backbone was trained in"),),
)
DENSECL = _backbone(
    "densecl",
    "DenseCL",
    ("encoder_q.0.conv1.",),
    below(TORCHVISION_RULES, "encoder_q.0.", BOTTOM_UP),
    TORCHVISION,
    (
        (r"^encoder_q\.1\.", "DenseCL's projection heads"),
        (r"^encoder_k\.", "DenseCL's momentum encoder"),
        (r"^queue", "DenseCL's queues"),
        (r"^(backbone|neck)\.", "a second name of DenseCL's query encoder"),
    ),
)
CAFFE2_RESNET = _backbone(
    "caffe2",
    "Caffe2's ResNets (MSRA, FAIR)",
    ("conv1_w", "res2_0_branch2a_w"),
    below(_CAFFE2_RULES, "", BOTTOM_UP),
    CAFFE,
    (
        (r"_momentum$", "the optimizer's state"),
        (r"^conv1_b$", "a bias that Detectron2's ResNets do not have"),
    ),
    folded_statistics=True,
)
# Mean and stride depend on the file: R-50.pkl exists from torchvision and from MSRA.
DETECTRON2_RESNET = _backbone(
    "detectron2-resnet",
    "Detectron2's ResNets",
    ("stem.conv1.", "res2.0.conv1."),
    below((("stem", "stem"), ("res{s}", "res{s}")), "", BOTTOM_UP),
    Preprocessing(),
)
