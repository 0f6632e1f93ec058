"""ResNet and ResNeXt (https://arxiv.org/abs/1512.03385, https://arxiv.org/abs/1611.05431).

Legend: N images, C channels; stage names "stem", "res2" ... "res5", with strides 4, 4 ... 32.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectron2.config import CfgNode
from detectron2.layers import CNNBlockBase, Conv2d, DeformConv, ModulatedDeformConv, ShapeSpec, get_norm
from detectron2.layers.blocks import msra_fill

from .backbone import Backbone
from .build import BACKBONE_REGISTRY

Norm = str | Callable[[int], nn.Module]
_BLOCKS_PER_STAGE = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


def _conv_norm(in_channels: int, out_channels: int, kernel_size: int, norm: Norm, **kwargs: Any) -> Conv2d:
    """Builds a convolution without bias, padded to keep the size at stride 1, and its normalization."""
    padding = kwargs.get("dilation", 1) * (kernel_size // 2)
    return Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        padding=padding,
        bias=False,
        norm=get_norm(norm, out_channels),
        **kwargs,
    )


class _ResidualBlock(CNNBlockBase):
    """Adds the shortcut, which is a 1x1 convolution if the number of channels changes."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, norm: Norm):
        super().__init__(in_channels, out_channels, stride)
        self.shortcut = None
        if in_channels != out_channels:
            self.shortcut = _conv_norm(in_channels, out_channels, 1, norm, stride=stride)

    def init_weights(self, *convs: Conv2d) -> None:
        for conv in (*convs, self.shortcut):
            if conv is not None:
                msra_fill(conv)

    def residual(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return F.relu_(self.residual(x) + shortcut)


class BasicBlock(_ResidualBlock):
    """The block of ResNet-18 and ResNet-34: two 3x3 convolutions.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Stride of the first convolution.
        norm: See ``layers.get_norm``.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1, norm: Norm = "BN"):
        super().__init__(in_channels, out_channels, stride, norm)
        self.conv1 = _conv_norm(in_channels, out_channels, 3, norm, stride=stride)
        self.conv2 = _conv_norm(out_channels, out_channels, 3, norm)
        self.init_weights(self.conv1, self.conv2)

    def residual(self, x: Tensor) -> Tensor:
        return self.conv2(F.relu_(self.conv1(x)))


class BottleneckBlock(_ResidualBlock):
    """The block of deeper nets: 1x1, 3x3 and 1x1 convolutions."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        bottleneck_channels: int,
        stride: int = 1,
        num_groups: int = 1,
        norm: Norm = "BN",
        stride_in_1x1: bool = False,
        dilation: int = 1,
    ):
        """
        Args:
            in_channels: Channels of the input.
            out_channels: Channels of the output.
            bottleneck_channels: Channels of the 3x3 convolution.
            stride: Stride of the block.
            num_groups: Groups of the 3x3 convolution.
            norm: See ``layers.get_norm``.
            stride_in_1x1: Whether the first 1x1 convolution has the stride instead of the 3x3.
            dilation: Dilation of the 3x3 convolution.
        """
        super().__init__(in_channels, out_channels, stride, norm)
        stride_1x1, stride_3x3 = (stride, 1) if stride_in_1x1 else (1, stride)
        self.conv1 = _conv_norm(in_channels, bottleneck_channels, 1, norm, stride=stride_1x1)
        self.conv2 = _conv_norm(
            bottleneck_channels,
            bottleneck_channels,
            3,
            norm,
            stride=stride_3x3,
            groups=num_groups,
            dilation=dilation,
        )
        self.conv3 = _conv_norm(bottleneck_channels, out_channels, 1, norm)
        self.init_weights(self.conv1, self.conv2, self.conv3)

    def residual(self, x: Tensor) -> Tensor:
        return self.conv3(F.relu_(self.conv2(F.relu_(self.conv1(x)))))


class DeformBottleneckBlock(BottleneckBlock):
    """``BottleneckBlock`` with a deformable 3x3 convolution."""

    conv2: Any

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        deform_modulated: bool = False,
        deform_num_groups: int = 1,
        **kwargs: Any,
    ):
        """
        Args:
            in_channels: Channels of the input.
            out_channels: Channels of the output.
            deform_modulated: Whether samples are scaled by predicted factors.
            deform_num_groups: Groups of channels with separate offsets.
            kwargs: Further arguments of ``BottleneckBlock``.
        """
        super().__init__(in_channels, out_channels, **kwargs)
        self.deform_modulated = deform_modulated
        plain = self.conv2
        where = {"stride": plain.stride, "padding": plain.padding, "dilation": plain.dilation}
        # x, y and the factor of each of the 3x3 taps
        num_moves = (27 if deform_modulated else 18) * deform_num_groups
        self.conv2_offset = Conv2d(plain.in_channels, num_moves, 3, **where)
        nn.init.zeros_(self.conv2_offset.weight)
        assert self.conv2_offset.bias is not None
        nn.init.zeros_(self.conv2_offset.bias)
        layer: Any = ModulatedDeformConv if deform_modulated else DeformConv
        groups = {"groups": plain.groups, "deformable_groups": deform_num_groups}
        self.conv2 = layer(
            plain.in_channels, plain.out_channels, 3, **where, **groups, bias=False, norm=plain.norm
        )
        msra_fill(self.conv2)

    def residual(self, x: Tensor) -> Tensor:
        x = F.relu_(self.conv1(x))
        moves = self.conv2_offset(x)
        if self.deform_modulated:
            offset, mask = moves.split((moves.shape[1] * 2 // 3, moves.shape[1] // 3), dim=1)
            x = self.conv2(x, offset, mask.sigmoid())
        else:
            x = self.conv2(x, moves)
        return self.conv3(F.relu_(x))


class BasicStem(CNNBlockBase):
    """The layers before the stages: a 7x7 convolution and max pooling, each with stride 2."""

    def __init__(self, in_channels: int = 3, out_channels: int = 64, norm: Norm = "BN"):
        super().__init__(in_channels, out_channels, 4)
        self.conv1 = _conv_norm(in_channels, out_channels, 7, norm, stride=2)
        msra_fill(self.conv1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu_(self.conv1(x))
        return F.max_pool2d(x, kernel_size=3, stride=2, padding=1)


class ResNet(Backbone):
    """A stem, stages of residual blocks and an optional classifier."""

    stem: CNNBlockBase

    def __init__(
        self,
        stem: CNNBlockBase,
        stages: Sequence[Sequence[CNNBlockBase]],
        num_classes: int | None = None,
        out_features: list[str] | None = None,
        freeze_at: int = 0,
    ):
        """
        Args:
            stem: The stem.
            stages: The blocks of res2, res3, ...
            num_classes: Outputs of a linear classifier; None means no classifier.
            out_features: Outputs, of "stem", "res2", ..., "linear"; None means the last of them.
                Stages after the last output are dropped.
            freeze_at: See ``freeze``.
        """
        super().__init__()
        self.stem = stem
        self.num_classes = num_classes
        if out_features is not None:
            depths = [int(name[3:]) for name in out_features if name.startswith("res")]
            if "linear" not in out_features:
                stages = stages[: max(depths, default=1) - 1]
        stride, channels = stem.stride, stem.out_channels
        self._out_feature_strides = {"stem": stride}
        self._out_feature_channels = {"stem": channels}
        self.stage_names: tuple[str, ...] = ()
        self.stages: list[nn.Sequential] = []
        for index, blocks in enumerate(stages):
            assert len(blocks) > 0, f"Stage res{index + 2} has no blocks."
            assert all(isinstance(block, CNNBlockBase) for block in blocks)
            name, stage = f"res{index + 2}", nn.Sequential(*blocks)
            self.add_module(name, stage)
            self.stage_names += (name,)
            self.stages.append(stage)
            for block in blocks:
                stride *= block.stride
            channels = blocks[-1].out_channels
            self._out_feature_strides[name] = stride
            self._out_feature_channels[name] = channels
        last = self.stage_names[-1] if self.stage_names else "stem"
        if num_classes is not None:
            self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
            self.linear = nn.Linear(channels, num_classes)
            nn.init.normal_(self.linear.weight, std=0.01)  # as in https://arxiv.org/abs/1706.02677
            last = "linear"
        self._out_features = [last] if out_features is None else out_features
        assert len(self._out_features) > 0
        names = {name for name, _ in self.named_children()}
        for name in self._out_features:
            assert name in names, f"{name} is not among the children: {', '.join(sorted(names))}"
        self.freeze(freeze_at)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Maps images, (N, C, H, W), to the feature maps named in ``out_features``."""
        assert x.dim() == 4, f"ResNet takes an input of shape (N, C, H, W). Got {x.shape} instead!"
        outputs = {}
        x = self.stem(x)
        if "stem" in self._out_features:
            outputs["stem"] = x
        for name, stage in zip(self.stage_names, self.stages, strict=True):
            x = stage(x)
            if name in self._out_features:
                outputs[name] = x
        if self.num_classes is not None:
            x = self.linear(torch.flatten(self.avgpool(x), 1))
            if "linear" in self._out_features:
                outputs["linear"] = x
        return outputs

    def freeze(self, freeze_at: int = 0) -> "ResNet":
        """Freezes the first parts: 1 = the stem, 2 = the stem and res2, ...; returns the network."""
        if freeze_at >= 1:
            self.stem.freeze()
        for index, stage in enumerate(self.stages, start=2):
            if freeze_at >= index:
                for block in stage.children():
                    assert isinstance(block, CNNBlockBase)
                    block.freeze()
        return self

    @staticmethod
    def make_stage(
        block_class: type[CNNBlockBase],
        num_blocks: int,
        *,
        in_channels: int,
        out_channels: int,
        **kwargs: Any,
    ) -> list[CNNBlockBase]:
        """Builds the consecutive blocks of one stage.

        Args:
            block_class: A subclass of ``CNNBlockBase``.
            num_blocks: Number of blocks.
            in_channels: Channels of the stage's input.
            out_channels: Channels of every block's output.
            kwargs: Further arguments of ``block_class``; ``xxx_per_block=[...]`` sets ``xxx`` for each
                block.
        """
        suffix = "_per_block"
        common = {key: value for key, value in kwargs.items() if not key.endswith(suffix)}
        varying = {key: value for key, value in kwargs.items() if key.endswith(suffix)}
        for key, values in varying.items():
            assert len(values) == num_blocks, f"'{key}' needs {num_blocks} values, one per block."
            assert key.removesuffix(suffix) not in common, f"'{key}' is also given for all blocks."
        blocks = []
        for index in range(num_blocks):
            own = {key.removesuffix(suffix): values[index] for key, values in varying.items()}
            blocks.append(block_class(in_channels, out_channels, **common, **own))
            in_channels = out_channels
        return blocks


def _check_resnet_cfg(cfg: CfgNode) -> None:
    """Raises if the config describes a network that cannot be built."""
    assert cfg.RES5_DILATION in (1, 2), f"res5_dilation cannot be {cfg.RES5_DILATION}."
    if cfg.DEPTH in (18, 34):
        what = "for R18/R34"
        assert cfg.RES2_OUT_CHANNELS == 64, f"Must set MODEL.RESNETS.RES2_OUT_CHANNELS = 64 {what}"
        assert cfg.RES5_DILATION == 1, f"Must set MODEL.RESNETS.RES5_DILATION = 1 {what}"
        assert cfg.NUM_GROUPS == 1, f"Must set MODEL.RESNETS.NUM_GROUPS = 1 {what}"
        assert not any(cfg.DEFORM_ON_PER_STAGE), f"MODEL.RESNETS.DEFORM_ON_PER_STAGE unsupported {what}"


@BACKBONE_REGISTRY.register()
def build_resnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> ResNet:
    """Builds the ``ResNet`` that ``cfg.MODEL.RESNETS`` describes."""
    freeze_at = cfg.MODEL.BACKBONE.FREEZE_AT
    cfg = cfg.MODEL.RESNETS
    _check_resnet_cfg(cfg)
    channels, out_channels = cfg.STEM_OUT_CHANNELS, cfg.RES2_OUT_CHANNELS
    stem = BasicStem(in_channels=input_shape.channels, out_channels=channels, norm=cfg.NORM)
    bottleneck_channels = cfg.NUM_GROUPS * cfg.WIDTH_PER_GROUP
    stages = []
    for stage, num_blocks in enumerate(_BLOCKS_PER_STAGE[cfg.DEPTH], start=2):
        dilation = cfg.RES5_DILATION if stage == 5 else 1
        first_stride = 1 if stage == 2 or dilation == 2 else 2
        kwargs: dict[str, Any] = {"stride_per_block": [first_stride] + [1] * (num_blocks - 1)}
        kwargs["norm"] = cfg.NORM
        block_class: type[CNNBlockBase] = BasicBlock
        if cfg.DEPTH >= 50:
            block_class = BottleneckBlock
            kwargs["bottleneck_channels"] = bottleneck_channels
            kwargs["num_groups"] = cfg.NUM_GROUPS
            kwargs["stride_in_1x1"] = cfg.STRIDE_IN_1X1
            kwargs["dilation"] = dilation
            if cfg.DEFORM_ON_PER_STAGE[stage - 2]:
                block_class = DeformBottleneckBlock
                kwargs["deform_modulated"] = cfg.DEFORM_MODULATED
                kwargs["deform_num_groups"] = cfg.DEFORM_NUM_GROUPS
        stages.append(
            ResNet.make_stage(
                block_class, num_blocks, in_channels=channels, out_channels=out_channels, **kwargs
            )
        )
        channels = out_channels
        out_channels *= 2
        bottleneck_channels *= 2
    return ResNet(stem, stages, out_features=cfg.OUT_FEATURES, freeze_at=freeze_at)
