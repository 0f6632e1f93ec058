"""Feature pyramid networks (https://arxiv.org/abs/1612.03144)."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from detectron2.config import CfgNode
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from detectron2.layers.blocks import xavier_fill

from .backbone import Backbone
from .build import BACKBONE_REGISTRY
from .resnet import build_resnet_backbone


class FPN(Backbone):
    """Adds the context of coarser levels to every level of a backbone; all outputs share a width.

    Outputs are named by their stride: ``p2`` has stride 4, ``p3`` 8, and so on.
    """

    def __init__(
        self,
        bottom_up: Backbone,
        in_features: Sequence[str],
        out_channels: int,
        norm: str | Callable = "",
        top_block: Any = None,
        fuse_type: str = "sum",
        square_pad: int = 0,
    ):
        """
        Args:
            bottom_up: The backbone below, whose parameters are named ``bottom_up.*``.
            in_features: Its outputs to use, finest first, each with twice the stride of the one
                before.
            out_channels: Channels of every output.
            norm: See ``layers.get_norm``; without one, convolutions have biases.
            top_block: A module that computes coarser levels, or None. Its attributes are
                ``num_levels`` (their number) and ``in_feature`` (its input, a map of the backbone or of
                the pyramid).
            fuse_type: "sum" or "avg" of a level and the upsampled coarser one.
            square_pad: Side in pixels of the squares that inputs are padded to; 0 means no squares.
        """
        super().__init__()
        assert isinstance(bottom_up, Backbone)
        assert in_features, "FPN needs in_features."
        assert fuse_type in ("avg", "sum"), fuse_type
        shapes = [bottom_up.output_shape()[name] for name in in_features]
        strides = [shape.stride for shape in shapes]
        _assert_strides_are_log2_contiguous(strides)
        lateral_convs, output_convs = [], []
        for shape in shapes:
            level = int(math.log2(shape.stride))
            bias = norm == ""
            lateral_norm, output_norm = get_norm(norm, out_channels), get_norm(norm, out_channels)
            lateral = Conv2d(shape.channels, out_channels, 1, bias=bias, norm=lateral_norm)
            output = Conv2d(out_channels, out_channels, 3, padding=1, bias=bias, norm=output_norm)
            xavier_fill(lateral)
            xavier_fill(output)
            self.add_module(f"fpn_lateral{level}", lateral)
            self.add_module(f"fpn_output{level}", output)
            lateral_convs.append(lateral)
            output_convs.append(output)
        # Plain lists, coarsest level first: the order of the forward pass.
        self.lateral_convs, self.output_convs = lateral_convs[::-1], output_convs[::-1]
        self.top_block = top_block
        self.in_features = tuple(in_features)
        self.bottom_up = bottom_up
        if top_block is not None:
            strides = strides + [strides[-1] * 2 ** (i + 1) for i in range(top_block.num_levels)]
        self._out_feature_strides = {f"p{int(math.log2(stride))}": stride for stride in strides}
        self._out_features = list(self._out_feature_strides)
        self._out_feature_channels = dict.fromkeys(self._out_features, out_channels)
        self._size_divisibility = shapes[-1].stride
        self._square_pad = square_pad
        self._fuse_type = fuse_type

    @property
    def size_divisibility(self) -> int:
        return self._size_divisibility

    @property
    def padding_constraints(self) -> dict[str, int]:
        return {"square_size": self._square_pad}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Maps images to the pyramid's levels.

        Args:
            x: Images, (N, C, H, W); H and W are multiples of ``size_divisibility``.

        Returns:
            (N, out_channels, H/stride, W/stride) by the name "p<log2 of the stride>".
        """
        bottom_up_features = self.bottom_up(x)
        results: list[Tensor] = []
        merged = None
        for name, lateral, output in zip(
            reversed(self.in_features), self.lateral_convs, self.output_convs, strict=True
        ):
            current = lateral(bottom_up_features[name])
            if merged is not None:
                current = current + F.interpolate(merged, scale_factor=2.0, mode="nearest")
                if self._fuse_type == "avg":
                    current /= 2
            merged = current
            results.insert(0, output(merged))
        if self.top_block is not None:
            source = bottom_up_features.get(self.top_block.in_feature)
            if source is None:
                source = results[self._out_features.index(self.top_block.in_feature)]
            results.extend(self.top_block(source))
        assert len(self._out_features) == len(results)
        return dict(zip(self._out_features, results, strict=True))


def _assert_strides_are_log2_contiguous(strides: list[int]) -> None:
    for fine, coarse in zip(strides[:-1], strides[1:], strict=True):
        assert coarse == 2 * fine, f"Strides {fine} {coarse} are not log2 contiguous"


class LastLevelMaxPool(nn.Module):
    """One coarser level: every second pixel of p5."""

    def __init__(self) -> None:
        super().__init__()
        self.num_levels = 1
        self.in_feature = "p5"

    def forward(self, x: Tensor) -> list[Tensor]:
        return [F.max_pool2d(x, kernel_size=1, stride=2, padding=0)]


class LastLevelP6P7(nn.Module):
    """Two coarser levels by convolutions, as in RetinaNet (https://arxiv.org/abs/1708.02002)."""

    def __init__(self, in_channels: int, out_channels: int, in_feature: str = "res5"):
        super().__init__()
        self.num_levels = 2
        self.in_feature = in_feature
        self.p6 = nn.Conv2d(in_channels, out_channels, 3, 2, 1)
        self.p7 = nn.Conv2d(out_channels, out_channels, 3, 2, 1)
        for module in (self.p6, self.p7):
            xavier_fill(module)

    def forward(self, c5: Tensor) -> list[Tensor]:
        p6 = self.p6(c5)
        return [p6, self.p7(F.relu(p6))]


def _build_fpn(cfg: CfgNode, bottom_up: Backbone, top_block: nn.Module) -> FPN:
    return FPN(
        bottom_up=bottom_up,
        in_features=cfg.MODEL.FPN.IN_FEATURES,
        out_channels=cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        top_block=top_block,
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )


@BACKBONE_REGISTRY.register()
def build_resnet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """Builds a ResNet with an FPN whose last level subsamples p5."""
    return _build_fpn(cfg, build_resnet_backbone(cfg, input_shape), LastLevelMaxPool())


@BACKBONE_REGISTRY.register()
def build_retinanet_resnet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """Builds a ResNet with an FPN that has further levels p6 and p7, computed from res5."""
    bottom_up = build_resnet_backbone(cfg, input_shape)
    top_block = LastLevelP6P7(bottom_up.output_shape()["res5"].channels, cfg.MODEL.FPN.OUT_CHANNELS)
    return _build_fpn(cfg, bottom_up, top_block)
