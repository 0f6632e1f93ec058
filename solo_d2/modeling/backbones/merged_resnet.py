"""A single feature map from several ResNet stages, for single-scale SOLO (SOLO paper, section 3.3)."""

from collections.abc import Sequence

from torch import Tensor, nn

from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from detectron2.modeling import BACKBONE_REGISTRY, Backbone, build_resnet_backbone
from solo_d2.layers import resize
from solo_d2.utils.settings import arguments


@BACKBONE_REGISTRY.register()
class MergedResNet(Backbone):
    """Sums 1x1 convolutions of the stages at the finest stage's stride.

    The paper merges C3, C4 and C5 at stride 8 without saying how; this is the sum of an FPN's top-down path.
    """

    OUTPUT = "merged"

    @configurable
    def __init__(self, *, bottom_up: Backbone, in_features: Sequence[str], out_channels: int, norm: str):
        """
        Args:
            bottom_up: Backbone that provides the stages.
            in_features: Stages to merge, finest first.
            out_channels: Channels of the result, named "merged".
            norm: Normalization of the 1x1 convolutions, as Detectron2's ``get_norm`` takes it.
        """
        super().__init__()
        shapes = bottom_up.output_shape()
        self.bottom_up = bottom_up
        self.in_features = list(in_features)
        self.laterals = nn.ModuleDict()
        for name in in_features:
            conv = Conv2d(
                shapes[name].channels, out_channels, 1, bias=norm == "", norm=get_norm(norm, out_channels)
            )
            nn.init.kaiming_uniform_(conv.weight, a=1)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
            self.laterals[name] = conv
        self._size_divisibility = shapes[self.in_features[-1]].stride
        self._shape = ShapeSpec(channels=out_channels, stride=shapes[self.in_features[0]].stride)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict:
        return arguments(cls, cfg, "MODEL.FPN", bottom_up=build_resnet_backbone(cfg, input_shape))

    @property
    def size_divisibility(self) -> int:
        return self._size_divisibility

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {self.OUTPUT: self._shape}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """
        Args:
            x: (B, 3, H, W) images, H and W multiples of ``size_divisibility``.

        Returns:
            {"merged": (B, out_channels, H / stride, W / stride)}.
        """
        stages = self.bottom_up(x)
        maps = [self.laterals[name](stages[name]) for name in self.in_features]
        merged = maps[0]
        for coarser in maps[1:]:
            merged = merged + resize(coarser, tuple(merged.shape[-2:]))
        return {self.OUTPUT: merged}
