"""ResNet and ResNeXt (https://arxiv.org/abs/1512.03385, https://arxiv.org/abs/1611.05431).

Legend: N images, C channels; stage names "stem", "res2" ... "res5", with strides 4, 4 ... 32.
"""

import fvcore.nn.weight_init as weight_init
import torch
import torch.nn.functional as F
from torch import nn

from detectron2.layers import CNNBlockBase, Conv2d, DeformConv, ModulatedDeformConv, get_norm
from detectron2.modeling.backbone.backbone import Backbone
from detectron2.modeling.backbone.build import BACKBONE_REGISTRY

__all__ = [
    "BasicBlock",
    "BasicStem",
    "BottleneckBlock",
    "DeformBottleneckBlock",
    "ResNet",
    "ResNetBlockBase",
    "build_resnet_backbone",
    "make_stage",
]

ResNetBlockBase = CNNBlockBase

_BLOCKS_PER_STAGE = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


def _conv_norm(in_channels, out_channels, kernel_size, norm, **kwargs) -> Conv2d:
    """A convolution without bias, padded to keep the size at stride 1, and its normalisation."""
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
    """Adds the shortcut, a 1x1 convolution where the number of channels changes."""

    def __init__(self, in_channels, out_channels, stride, norm):
        super().__init__(in_channels, out_channels, stride)
        self.shortcut = None
        if in_channels != out_channels:
            self.shortcut = _conv_norm(in_channels, out_channels, 1, norm, stride=stride)

    def init_weights(self, *convs):
        for conv in (*convs, self.shortcut):
            if conv is not None:
                weight_init.c2_msra_fill(conv)

    def residual(self, x):
        raise NotImplementedError

    def forward(self, x):
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return F.relu_(self.residual(x) + shortcut)


class BasicBlock(_ResidualBlock):
    """The block of ResNet-18 and ResNet-34: two 3x3 convolutions."""

    def __init__(self, in_channels, out_channels, *, stride=1, norm="BN"):
        """
        Args:
            in_channels (int): channels of the input.
            out_channels (int): channels of the output.
            stride (int): stride of the first convolution.
            norm (str or callable): see ``layers.get_norm``.
        """
        super().__init__(in_channels, out_channels, stride, norm)
        self.conv1 = _conv_norm(in_channels, out_channels, 3, norm, stride=stride)
        self.conv2 = _conv_norm(out_channels, out_channels, 3, norm)
        self.init_weights(self.conv1, self.conv2)

    def residual(self, x):
        return self.conv2(F.relu_(self.conv1(x)))


class BottleneckBlock(_ResidualBlock):
    """The block of deeper nets: 1x1, 3x3 and 1x1 convolutions."""

    def __init__(
        self,
        in_channels,
        out_channels,
        *,
        bottleneck_channels,
        stride=1,
        num_groups=1,
        norm="BN",
        stride_in_1x1=False,
        dilation=1,
    ):
        """
        Args:
            in_channels (int): channels of the input.
            out_channels (int): channels of the output.
            bottleneck_channels (int): channels of the 3x3 convolution.
            stride (int): stride of the block.
            num_groups (int): groups of the 3x3 convolution.
            norm (str or callable): see ``layers.get_norm``.
            stride_in_1x1 (bool): whether the first 1x1 convolution has the stride, not the 3x3.
            dilation (int): dilation of the 3x3 convolution.
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

    def residual(self, x):
        return self.conv3(F.relu_(self.conv2(F.relu_(self.conv1(x)))))


class DeformBottleneckBlock(BottleneckBlock):
    """``BottleneckBlock`` with a deformable 3x3 convolution."""

    def __init__(self, in_channels, out_channels, *, deform_modulated=False, deform_num_groups=1, **kwargs):
        """
        Args:
            in_channels (int): channels of the input.
            out_channels (int): channels of the output.
            deform_modulated (bool): whether samples also have predicted factors.
            deform_num_groups (int): groups of channels with offsets of their own.
            kwargs: further arguments of ``BottleneckBlock``.
        """
        super().__init__(in_channels, out_channels, **kwargs)
        self.deform_modulated = deform_modulated
        plain = self.conv2
        where = {"stride": plain.stride, "padding": plain.padding, "dilation": plain.dilation}
        num_moves = (27 if deform_modulated else 18) * deform_num_groups
        self.conv2_offset = Conv2d(plain.in_channels, num_moves, 3, **where)
        nn.init.zeros_(self.conv2_offset.weight)
        nn.init.zeros_(self.conv2_offset.bias)
        layer = ModulatedDeformConv if deform_modulated else DeformConv
        groups = {"groups": plain.groups, "deformable_groups": deform_num_groups}
        self.conv2 = layer(
            plain.in_channels, plain.out_channels, 3, **where, **groups, bias=False, norm=plain.norm
        )
        weight_init.c2_msra_fill(self.conv2)

    def residual(self, x):
        x = F.relu_(self.conv1(x))
        moves = self.conv2_offset(x)
        if self.deform_modulated:
            offset, mask = moves.split((moves.shape[1] * 2 // 3, moves.shape[1] // 3), dim=1)
            x = self.conv2(x, offset, mask.sigmoid())
        else:
            x = self.conv2(x, moves)
        return self.conv3(F.relu_(x))


class BasicStem(CNNBlockBase):
    """What stands before the stages: a 7x7 convolution and a maximum, each with stride 2."""

    def __init__(self, in_channels=3, out_channels=64, norm="BN"):
        super().__init__(in_channels, out_channels, 4)
        self.conv1 = _conv_norm(in_channels, out_channels, 7, norm, stride=2)
        weight_init.c2_msra_fill(self.conv1)

    def forward(self, x):
        x = F.relu_(self.conv1(x))
        return F.max_pool2d(x, kernel_size=3, stride=2, padding=1)


class ResNet(Backbone):
    """A stem and stages of residual blocks, with or without a classifier at the end."""

    def __init__(self, stem, stages, num_classes=None, out_features=None, freeze_at=0):
        """
        Args:
            stem (nn.Module): the stem.
            stages (list[list[CNNBlockBase]]): the blocks of res2, res3, ...
            num_classes (int, optional): adds a linear classifier with that many outputs.
            out_features (list[str], optional): what is returned, of "stem", "res2", ...,
                "linear"; default the last of them. Stages behind the last one are dropped.
            freeze_at (int): see ``freeze``.
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
        self.stage_names, self.stages = (), []
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

    def forward(self, x):
        """
        Args:
            x (Tensor): images, (N, C, H, W).

        Returns:
            dict[str, Tensor]: the feature maps named in ``out_features``.
        """
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

    def freeze(self, freeze_at=0):
        """Freezes the first parts: 1 = the stem, 2 = the stem and res2, ...; returns the net."""
        if freeze_at >= 1:
            self.stem.freeze()
        for index, stage in enumerate(self.stages, start=2):
            if freeze_at >= index:
                for block in stage.children():
                    block.freeze()
        return self

    @staticmethod
    def make_stage(block_class, num_blocks, *, in_channels, out_channels, **kwargs):
        """Makes the blocks of one stage, each taking what the one before gives.

        Args:
            block_class (type): a ``CNNBlockBase``.
            num_blocks (int): number of blocks.
            in_channels (int): channels of the stage's input.
            out_channels (int): channels of every block's output.
            kwargs: further arguments of ``block_class``. ``xxx_per_block=[...]`` gives each block
                its own ``xxx``.

        Returns:
            list[CNNBlockBase]: the blocks.
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


make_stage = ResNet.make_stage


def _check_resnet_cfg(cfg) -> None:
    """Raises where the config asks for a net that cannot be built."""
    assert cfg.RES5_DILATION in (1, 2), f"res5_dilation cannot be {cfg.RES5_DILATION}."
    if cfg.DEPTH in (18, 34):
        what = "for R18/R34"
        assert cfg.RES2_OUT_CHANNELS == 64, f"Must set MODEL.RESNETS.RES2_OUT_CHANNELS = 64 {what}"
        assert cfg.RES5_DILATION == 1, f"Must set MODEL.RESNETS.RES5_DILATION = 1 {what}"
        assert cfg.NUM_GROUPS == 1, f"Must set MODEL.RESNETS.NUM_GROUPS = 1 {what}"
        assert not any(cfg.DEFORM_ON_PER_STAGE), f"MODEL.RESNETS.DEFORM_ON_PER_STAGE unsupported {what}"


@BACKBONE_REGISTRY.register()
def build_resnet_backbone(cfg, input_shape):
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
        kwargs = {"stride_per_block": [first_stride] + [1] * (num_blocks - 1), "norm": cfg.NORM}
        block_class = BasicBlock
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
