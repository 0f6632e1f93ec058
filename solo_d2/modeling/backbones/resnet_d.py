"""ResNet-D, or ResNet-vd (He et al., "Bag of Tricks for Image Classification", CVPR 2019, section 4.1).

Against Detectron2's ResNet, three 3x3 convolutions replace the 7x7, and shortcuts of stride 2 average before
their 1x1 convolution instead of dropping three quarters of their input.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from detectron2.config import CfgNode
from detectron2.layers import CNNBlockBase, Conv2d, ShapeSpec, get_norm
from detectron2.modeling import BACKBONE_REGISTRY, Backbone, build_resnet_backbone
from detectron2.modeling.backbone.resnet import ResNet
from solo_d2.utils.settings import build

from .fcos_fpn import fpn_from_config, fpn_with_pooled_level


class DeepStem(CNNBlockBase):
    """Three 3x3 convolutions, the first of stride 2, and max pooling of stride 2."""

    def __init__(self, in_channels: int, out_channels: int, norm: str):
        """
        Args:
            in_channels: Channels of the images.
            out_channels: Channels of the result; the first two convolutions have half as many.
            norm: Normalization of the convolutions, as Detectron2's ``get_norm`` takes it.
        """
        super().__init__(in_channels, out_channels, 4)
        half = out_channels // 2
        widths = ((in_channels, half, 2), (half, half, 1), (half, out_channels, 1))
        self.conv1, self.conv2, self.conv3 = (
            Conv2d(low, high, 3, stride=stride, padding=1, bias=False, norm=get_norm(norm, high))
            for low, high, stride in widths
        )
        for conv in (self.conv1, self.conv2, self.conv3):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, in_channels, H, W) to (B, out_channels, H / 4, W / 4)."""
        for conv in (self.conv1, self.conv2, self.conv3):
            x = F.relu_(conv(x))
        return F.max_pool2d(x, kernel_size=3, stride=2, padding=1)


class PooledShortcut(Conv2d):
    """A shortcut's 1x1 convolution after 2x2 average pooling; borders average what there is."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) to (B, C', ceil(H / 2), ceil(W / 2))."""
        return super().forward(F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False))


def _pooled(conv: Conv2d) -> PooledShortcut:
    pooled = PooledShortcut(conv.in_channels, conv.out_channels, 1, bias=False, norm=conv.norm)
    nn.init.kaiming_normal_(pooled.weight, mode="fan_out", nonlinearity="relu")
    return pooled


def _to_resnet_d(
    network: ResNet, *, in_channels: int, stem_out_channels: int, norm: str, freeze_at: int
) -> ResNet:
    """Replaces a ResNet's stem and its shortcuts of stride 2; returns it."""
    network.stem = DeepStem(in_channels, stem_out_channels, norm)
    for stage in network.stages:
        shortcut = stage[0].shortcut
        if isinstance(shortcut, Conv2d) and shortcut.stride != (1, 1):
            stage[0].shortcut = _pooled(shortcut)
    return network.freeze(freeze_at)


@BACKBONE_REGISTRY.register()
def build_resnet_d_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Builds the ResNet-D of ``MODEL.RESNETS``."""
    network = build_resnet_backbone(cfg, input_shape)
    nodes = ("MODEL.RESNETS", "MODEL.BACKBONE")
    return build(_to_resnet_d, cfg, *nodes, network=network, in_channels=input_shape.channels)


@BACKBONE_REGISTRY.register()
def build_resnet_d_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Builds ResNet-D under ``MODEL.FPN``, as Detectron2's ``build_resnet_fpn_backbone``."""
    return fpn_with_pooled_level(cfg, build_resnet_d_backbone(cfg, input_shape))


@BACKBONE_REGISTRY.register()
def build_fcos_resnet_d_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Builds ResNet-D under ``MODEL.FPN`` with ``MODEL.FCOS.TOP_LEVELS``."""
    return fpn_from_config(cfg, build_resnet_d_backbone(cfg, input_shape))
