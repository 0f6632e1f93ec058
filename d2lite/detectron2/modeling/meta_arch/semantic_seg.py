"""The semantic segmentation head of Panoptic-FPN."""

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from detectron2.layers.blocks import msra_fill


class SemSegFPNHead(nn.Module):
    """Brings all levels to one stride by 3x3 convolutions and x2 upsampling, adds and classifies them.

    Parameters of a level are named after it ("p2.0.weight").
    """

    @configurable
    def __init__(
        self,
        input_shape: dict[str, ShapeSpec],
        *,
        num_classes: int,
        conv_dims: int,
        common_stride: int,
        loss_weight: float = 1.0,
        norm: str | Callable | None = None,
        ignore_value: int = -1,
    ):
        """
        Args:
            input_shape: Channels and stride of the levels.
            num_classes: Number of classes.
            conv_dims: Channels of the convolutions.
            common_stride: Stride of the logits.
            loss_weight: Weight of the loss.
            norm: Normalization of the convolutions, see ``layers.get_norm``.
            ignore_value: Label of pixels that do not count.
        """
        super().__init__()
        levels = sorted(input_shape.items(), key=lambda item: item[1].stride)
        if not levels:
            raise ValueError("SemSegFPNHead(input_shape=) cannot be empty!")
        self.in_features = [name for name, _ in levels]
        self.common_stride = common_stride
        self.loss_weight = loss_weight
        self.ignore_value = ignore_value
        for name, shape in levels:
            self.add_module(name, self._make_level(shape, conv_dims, norm))
        self.predictor = Conv2d(conv_dims, num_classes, kernel_size=1)
        msra_fill(self.predictor)

    def _make_level(self, shape: ShapeSpec, conv_dims: int, norm: str | Callable | None) -> nn.Sequential:
        doublings = (shape.stride // self.common_stride).bit_length() - 1
        layers: list[nn.Module] = []
        for index in range(max(1, doublings)):
            conv = Conv2d(
                conv_dims if index else shape.channels,
                conv_dims,
                kernel_size=3,
                padding=1,
                bias=not norm,
                norm=get_norm(norm, conv_dims),
                activation=F.relu,
            )
            msra_fill(conv)
            layers.append(conv)
            if shape.stride != self.common_stride:
                layers.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
        return nn.Sequential(*layers)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        """Reads ``MODEL.SEM_SEG_HEAD``."""
        node = cfg.MODEL.SEM_SEG_HEAD
        return {
            "input_shape": {name: shape for name, shape in input_shape.items() if name in node.IN_FEATURES},
            "ignore_value": node.IGNORE_VALUE,
            "num_classes": node.NUM_CLASSES,
            "conv_dims": node.CONVS_DIM,
            "common_stride": node.COMMON_STRIDE,
            "norm": node.NORM,
            "loss_weight": node.LOSS_WEIGHT,
        }

    def forward(self, features: dict[str, Tensor], targets: Tensor | None = None) -> tuple:
        """Returns (None, losses) in training, else (logits at the input's size, {})."""
        logits = self.layers(features)
        if self.training:
            return None, self.losses(logits, targets)
        return self._upsample(logits), {}

    def layers(self, features: dict[str, Tensor]) -> Tensor:
        """Returns logits (N, num_classes, h, w) at the common stride."""
        return self.predictor(sum(getattr(self, name)(features[name]) for name in self.in_features))

    def losses(self, predictions: Tensor, targets: Tensor | None) -> dict[str, Tensor]:
        """Returns the cross-entropy with labels (N, H, W) as "loss_sem_seg"."""
        assert targets is not None, "Training needs targets."
        logits = self._upsample(predictions.float())
        loss = F.cross_entropy(logits, targets, reduction="mean", ignore_index=self.ignore_value)
        return {"loss_sem_seg": loss * self.loss_weight}

    def _upsample(self, logits: Tensor) -> Tensor:
        return F.interpolate(logits, scale_factor=self.common_stride, mode="bilinear", align_corners=False)
