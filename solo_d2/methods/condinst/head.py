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
        box_features: (B, C_in, H_l, W_l) of every level, the controller's input.
        sizes: Height and width of every level.
    """

    class_logits: Tensor
    centerness: Tensor
    distances: Tensor | None
    box_features: tuple[Tensor, ...]
    sizes: tuple[tuple[int, int], ...]

    def image(self, index: int) -> "PointPredictions":
        """Returns one image's predictions, B = 1."""
        one = slice(index, index + 1)
        return PointPredictions(
            class_logits=self.class_logits[one],
            centerness=self.centerness[one],
            distances=None if self.distances is None else self.distances[one],
            box_features=tuple(feature[one] for feature in self.box_features),
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
        logits, centerness, distances, box_features = zip(*levels, strict=True)
        return PointPredictions(
            class_logits=flatten_levels(logits),
            centerness=flatten_levels(centerness).squeeze(2),
            distances=None if self.box_predictor is None else flatten_levels(distances),
            box_features=box_features,
            sizes=tuple((feature.shape[2], feature.shape[3]) for feature in features),
        )

    def control(self, box_features: Sequence[Tensor], index: Tensor) -> Tensor:
        """Predicts the controller numbers of chosen locations only, which are few.

        Args:
            box_features: As in :class:`PointPredictions`.
            index: (B, S) int64 in [0, K).

        Returns:
            (B, S, D), what the controller's convolution has at these locations.
        """
        assert self.controller is not None, "a detector alone has no controller"
        batch, channels = box_features[0].shape[:2]
        rows = [feature.permute(0, 2, 3, 1).flatten(1, 2) for feature in box_features]
        seen = torch.cat([rows[0].new_zeros(batch, 1, channels), *rows], dim=1)
        # The first row is the padding.
        taps = _neighborhoods([(x.shape[2], x.shape[3]) for x in box_features], index.device)[index]
        image = torch.arange(batch, device=index.device)[:, None, None] * seen.shape[1]
        patches = seen.flatten(0, 1).index_select(0, (taps + image).flatten())
        weight = self.controller.weight.permute(0, 2, 3, 1).flatten(1)
        patches = patches.view(*index.shape, weight.shape[1]).to(weight.dtype)
        return F.linear(patches, weight, self.controller.bias)

    def _predict_level(self, feature: Tensor, level: int) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
        shared = self.shared_tower(feature)
        box_feature = self.box_tower(shared)
        distances = None
        if self.box_predictor is not None:
            distances = F.relu(self.scales[level] * self.box_predictor(box_feature))
        return (
            self.class_predictor(self.class_tower(shared)),
            self.centerness_predictor(box_feature),
            distances,
            box_feature,
        )


def _neighborhoods(sizes: Sequence[tuple[int, int]], device: torch.device) -> Tensor:
    """Returns the 3x3 window around every location: (K, 9) int64, location + 1, or 0 outside of the map."""
    windows, start = [], 1
    for height, width in sizes:
        index = torch.arange(height * width, device=device).view(height, width) + start
        padded = F.pad(index, (1, 1, 1, 1))
        shifted = [padded[i : i + height, j : j + width] for i in range(3) for j in range(3)]
        windows.append(torch.stack(shifted, dim=2).flatten(0, 1))
        start += height * width
    return torch.cat(windows)


def _predictor(in_channels: int, out_channels: int, prior_prob: float = 0.5) -> nn.Conv2d:
    return init_conv(Conv2d(in_channels, out_channels, 3, padding=1), prior_prob)
