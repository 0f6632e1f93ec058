"""BiFPN (Tan et al., "EfficientDet", https://arxiv.org/abs/1911.09070), as in CondInst's models.

B: batch; C_l: channels of input level l; C: channels of the pyramid; levels are finest first.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from detectron2.modeling import BACKBONE_REGISTRY, Backbone, build_resnet_backbone
from solo_d2.modeling.meta_architecture import WeightKey
from solo_d2.utils.settings import arguments

# Keeps the fusion finite when all its weights are zero.
_WEIGHT_EPS = 1e-4


class _Fusion(nn.Module):
    """Weighted mean of maps of one size, then SiLU and a 3x3 convolution."""

    def __init__(self, num_inputs: int, channels: int, norm: str):
        super().__init__()
        self.weights = nn.Parameter(torch.ones(num_inputs))
        self.conv = Conv2d(channels, channels, 3, padding=1, bias=norm == "", norm=get_norm(norm, channels))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        weights = self.weights.relu()
        weights = (weights / (weights.sum() + _WEIGHT_EPS)).to(maps[0].dtype)
        return self.conv(F.silu(sum(weight * x for weight, x in zip(weights, maps, strict=True))))


class _BiFPNLayer(nn.Module):
    """One pass from coarse to fine levels and back."""

    def __init__(self, in_channels: Sequence[int], channels: int, norm: str):
        super().__init__()
        self.laterals = nn.ModuleList(
            nn.Identity() if width == channels else Conv2d(width, channels, 1, norm=get_norm(norm, channels))
            for width in in_channels
        )
        inner = len(in_channels) - 1
        self.top_down = nn.ModuleList(_Fusion(2, channels, norm) for _ in range(inner))
        self.bottom_up = nn.ModuleList(
            _Fusion(3 if level < inner else 2, channels, norm) for level in range(1, inner + 1)
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        inputs = [lateral(x) for lateral, x in zip(self.laterals, features, strict=True)]
        descended = [inputs[-1]]
        for fusion, x in zip(reversed(self.top_down), reversed(inputs[:-1]), strict=True):
            coarser = F.interpolate(descended[0], size=x.shape[-2:], mode="nearest")
            descended.insert(0, fusion([x, coarser]))
        outputs = [descended[0]]
        last = len(inputs) - 1
        for level, fusion in enumerate(self.bottom_up, start=1):
            maps = [inputs[level]] if level == last else [inputs[level], descended[level]]
            outputs.append(fusion([*maps, _halve(outputs[-1])]))
        return outputs


def _halve(x: Tensor) -> Tensor:
    return F.max_pool2d(x, kernel_size=3, stride=2, padding=1)


class BiFPN(Backbone):
    """Fuses a backbone's levels and levels pooled above them; outputs are named "p{log2 stride}"."""

    weight_keys = (
        WeightKey(
            r"backbone\.(reducer|layers)\..*norm\.",
            "MODEL.BiFPN.OUT_CHANNELS",
            presence="MODEL.BiFPN.NORM",
        ),
        # A file without the first layer belongs to a model with another pyramid.
        WeightKey(
            r"backbone\.(reducer|layers\.0)\.",
            "MODEL.BiFPN.OUT_CHANNELS",
            presence="MODEL.BACKBONE.NAME",
        ),
        WeightKey(r"backbone\.layers\.", "MODEL.BiFPN.OUT_CHANNELS", presence="MODEL.BiFPN.NUM_REPEATS"),
    )

    @configurable
    def __init__(
        self,
        *,
        bottom_up: Backbone,
        in_features: Sequence[str],
        out_channels: int,
        top_levels: int,
        num_repeats: int,
        norm: str,
    ):
        """
        Args:
            bottom_up: Backbone that provides the levels.
            in_features: Its outputs to fuse, finest first, each with twice the stride of the one before.
            out_channels: C.
            top_levels: Number of levels added above the coarsest of them.
            num_repeats: Number of fusion layers.
            norm: Normalization, as Detectron2's ``get_norm`` takes it.
        """
        super().__init__()
        shapes = bottom_up.output_shape()
        widths = [shapes[name].channels for name in in_features]
        strides = [shapes[name].stride for name in in_features]
        self.bottom_up = bottom_up
        self.in_features = list(in_features)
        self.top_levels = top_levels
        self.reducer = Conv2d(widths[-1], out_channels, 1, bias=norm == "", norm=get_norm(norm, out_channels))
        self._size_divisibility = strides[-1]
        widths += [out_channels] * top_levels
        strides += [strides[-1] * 2 ** (i + 1) for i in range(top_levels)]
        self.layers = nn.ModuleList(
            _BiFPNLayer([out_channels] * len(widths) if i else widths, out_channels, norm)
            for i in range(num_repeats)
        )
        self._out_shapes = {
            f"p{int(math.log2(stride))}": ShapeSpec(channels=out_channels, stride=stride)
            for stride in strides
        }

    @classmethod
    def from_config(cls, cfg: CfgNode, bottom_up: Backbone) -> dict:
        return arguments(cls, cfg, "MODEL.BiFPN", "MODEL.FCOS", bottom_up=bottom_up)

    def output_shape(self) -> dict[str, ShapeSpec]:
        return self._out_shapes

    @property
    def size_divisibility(self) -> int:
        return self._size_divisibility

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Maps (B, 3, H, W) images to (B, C, H / stride, W / stride) by name."""
        stages = self.bottom_up(x)
        features = [stages[name] for name in self.in_features]
        top = self.reducer(features[-1])
        for _ in range(self.top_levels):
            top = _halve(top)
            features.append(top)
        for layer in self.layers:
            features = layer(features)
        return dict(zip(self._out_shapes, features, strict=True))


@BACKBONE_REGISTRY.register()
def build_fcos_resnet_bifpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Builds ``MODEL.RESNETS`` under ``MODEL.BiFPN`` with ``MODEL.FCOS.TOP_LEVELS``."""
    return BiFPN(cfg, build_resnet_backbone(cfg, input_shape))
