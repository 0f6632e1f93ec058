"""FCOS's head (https://arxiv.org/abs/1904.01355), extended by a controller that predicts mask heads.

B: batch; C: classes; K: locations of all levels; D: controller numbers per location.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectron2.layers import Conv2d
from solo_d2.layers import ConvTower, flatten_levels, init_conv
from solo_d2.layers.conv_tower import Norm


@dataclass(frozen=True)
class PointPredictions:
    """Predictions at every location, level by level, row by row.

    Attributes:
        class_logits: (B, K, C).
        centerness: (B, K) logits.
        distances: (B, K, 4) to the left, top, right and bottom side of the box, nonnegative, in strides;
            None without a box predictor.
        params: (B, K, D) of the controller.
        sizes: Height and width of every level.
    """

    class_logits: Tensor
    centerness: Tensor
    distances: Tensor | None
    params: Tensor
    sizes: tuple[tuple[int, int], ...]

    def image(self, index: int) -> "PointPredictions":
        """Returns one image's predictions, B = 1."""
        one = slice(index, index + 1)
        return PointPredictions(
            class_logits=self.class_logits[one],
            centerness=self.centerness[one],
            distances=None if self.distances is None else self.distances[one],
            params=self.params[one],
            sizes=self.sizes,
        )


class FCOSHead(nn.Module):
    """Predicts class, centerness, box and controller numbers at every location; shared by all levels."""

    def __init__(
        self,
        *,
        in_channels: int,
        num_levels: int,
        num_classes: int,
        num_cls_convs: int,
        num_box_convs: int,
        num_share_convs: int,
        norm: Norm,
        prior_prob: float,
        box_on: bool,
        num_params: int = 0,
    ):
        """
        Args:
            in_channels: Channels of every pyramid level and of the towers.
            num_levels: Pyramid levels.
            num_classes: C.
            num_cls_convs: Depth of the class tower.
            num_box_convs: Depth of the box tower, which centerness and controller share.
            num_share_convs: Depth of a tower that both share.
            norm: Normalization of the towers.
            prior_prob: Initial foreground probability of every location and class.
            box_on: Whether boxes are predicted.
            num_params: D; 0 for a detector alone.
        """
        super().__init__()
        self.shared_tower = ConvTower(in_channels, in_channels, num_share_convs, norm, bias=True)
        self.class_tower = ConvTower(in_channels, in_channels, num_cls_convs, norm, bias=True)
        self.box_tower = ConvTower(in_channels, in_channels, num_box_convs, norm, bias=True)
        self.class_predictor = _predictor(in_channels, num_classes, prior_prob)
        self.centerness_predictor = _predictor(in_channels, 1)
        self.box_predictor = _predictor(in_channels, 4) if box_on else None
        num_scales = num_levels if box_on else 0
        self.scales = nn.ParameterList(nn.Parameter(torch.tensor(1.0)) for _ in range(num_scales))
        self.controller = _predictor(in_channels, num_params) if num_params else None

    def forward(self, features: Sequence[Tensor]) -> PointPredictions:
        """Takes one (B, in_channels, H_l, W_l) per level, finest first."""
        levels = [self._predict_level(feature, i) for i, feature in enumerate(features)]
        logits, centerness, distances, params = zip(*levels, strict=True)
        class_logits = flatten_levels(logits)
        return PointPredictions(
            class_logits=class_logits,
            centerness=flatten_levels(centerness).squeeze(2),
            distances=None if self.box_predictor is None else flatten_levels(distances),
            params=class_logits[..., :0] if self.controller is None else flatten_levels(params),
            sizes=tuple((feature.shape[2], feature.shape[3]) for feature in features),
        )

    def _predict_level(
        self, feature: Tensor, level: int
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        shared = self.shared_tower(feature)
        box_feature = self.box_tower(shared)
        distances = None
        if self.box_predictor is not None:
            distances = F.relu(self.scales[level] * self.box_predictor(box_feature))
        return (
            self.class_predictor(self.class_tower(shared)),
            self.centerness_predictor(box_feature),
            distances,
            None if self.controller is None else self.controller(box_feature),
        )


def _predictor(in_channels: int, out_channels: int, prior_prob: float = 0.5) -> nn.Module:
    return init_conv(Conv2d(in_channels, out_channels, 3, padding=1), prior_prob)
