"""Config keys that explain the weights of backbones; the first match counts."""

from solo_d2.modeling.meta_architecture import WeightKey

from .bifpn import BiFPN
from .efficientnet_lite import EfficientNetLite
from .fcos_fpn import TOP_BLOCK_WEIGHT_KEYS
from .pretrained_features import PretrainedFeatures

_NAME = "MODEL.BACKBONE.NAME"
_FPN_WIDTH = "MODEL.FPN.OUT_CHANNELS"
_RESNET = r"backbone\.(bottom_up\.)?(stem\.conv\d|res\d).*"
_RESNET_WIDTH = "MODEL.RESNETS.RES2_OUT_CHANNELS or MODEL.RESNETS.WIDTH_PER_GROUP or MODEL.RESNETS.NUM_GROUPS"
RESNET_WEIGHT_KEYS = (
    WeightKey(
        f"{_RESNET}_offset\\.",
        "MODEL.RESNETS.DEFORM_MODULATED",
        presence="MODEL.RESNETS.DEFORM_ON_PER_STAGE",
    ),
    WeightKey(f"{_RESNET}norm\\.", _RESNET_WIDTH, presence="MODEL.RESNETS.NORM or MODEL.RESNETS.DEPTH"),
    WeightKey(_RESNET, f"{_RESNET_WIDTH} or MODEL.RESNETS.DEPTH", presence="MODEL.RESNETS.DEPTH"),
)
FPN_WEIGHT_KEYS = (
    WeightKey(r"backbone\.fpn_.*norm\.", _FPN_WIDTH, presence="MODEL.FPN.NORM"),
    WeightKey(r"backbone\.fpn_", _FPN_WIDTH, presence=f"{_NAME} or MODEL.FPN.IN_FEATURES"),
)
BACKBONE_WEIGHT_KEYS = (
    *RESNET_WEIGHT_KEYS,
    *FPN_WEIGHT_KEYS,
    *TOP_BLOCK_WEIGHT_KEYS,
    *BiFPN.weight_keys,
    *EfficientNetLite.weight_keys,
    *PretrainedFeatures.weight_keys,
    # Only its name identifies any other backbone.
    WeightKey(r"backbone\.", _NAME, presence=_NAME),
)
# Name prefixes -> parts that a file may have or lack on their own: the ResNet and the pyramid.
BACKBONE_WEIGHT_PARTS = {"backbone.bottom_up.": "backbone.bottom_up", "backbone.": "backbone.fpn"}
