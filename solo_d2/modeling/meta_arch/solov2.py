"""SOLOv2 (Wang et al., NeurIPS 2020): instances as dynamic convolutions of one mask feature.

B: images; K: cells per image; C: classes; E: mask feature channels; P: positive masks.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from detectron2.structures import Instances
from solo_d2.layers import dynamic_conv
from solo_d2.losses import GridLoss
from solo_d2.modeling.heads import MaskFeatureHead, SOLOv2Head
from solo_d2.postprocessing import GridInference, points_nms
from solo_d2.structures import GridLayout, GridTargets
from solo_d2.targets import assign_grid_targets

from .dense_segmenter import DenseSegmenter, ground_truth_masks

# Input pixels per mask feature pixel: the mask feature has the finest pyramid level's size.
MASK_STRIDE = 4


@META_ARCH_REGISTRY.register()
class SOLOv2(DenseSegmenter):
    """Category and kernel per grid cell; masks are the kernels applied to a unified mask feature."""

    @configurable
    def __init__(
        self,
        *,
        head: nn.Module,
        mask_head: nn.Module,
        layout: GridLayout,
        in_features: Sequence[str],
        mask_in_features: Sequence[str],
        num_classes: int,
        sigma: float,
        loss: GridLoss,
        grid_inference: GridInference,
        **kwargs,
    ):
        """
        Args:
            head: Features to per-level category logits and kernels.
            mask_head: Features to the mask feature.
            layout: Strides, grids and scale ranges of the levels.
            in_features: Backbone outputs the head reads, finest first.
            mask_in_features: Backbone outputs the mask head reads, finest (stride 4) first.
            num_classes: C.
            sigma: Centre region's sides as a fraction of the box's.
            loss: Category and mask losses.
            grid_inference: Predictions to instances.
            **kwargs: Of :class:`DenseSegmenter`.
        """
        super().__init__(**kwargs)
        self.head = head
        self.mask_head = mask_head
        self.layout = layout
        self.in_features = list(in_features)
        self.mask_in_features = list(mask_in_features)
        self.num_classes = num_classes
        self.sigma = sigma
        self.loss = loss
        self.grid_inference = grid_inference
        self.to(memory_format=torch.channels_last)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        node = cfg.MODEL.SOLOV2
        backbone = build_backbone(cfg)
        shapes = backbone.output_shape()
        return {
            "backbone": backbone,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "head": SOLOv2Head(
                in_channels=shapes[node.INSTANCE_IN_FEATURES[0]].channels,
                num_grids=node.NUM_GRIDS,
                num_classes=node.NUM_CLASSES,
                channels=node.INSTANCE_CHANNELS,
                num_convs=node.NUM_INSTANCE_CONVS,
                kernel_channels=node.NUM_MASKS,
                norm=node.NORM,
                prior_prob=node.PRIOR_PROB,
            ),
            "mask_head": MaskFeatureHead(
                in_channels=shapes[node.MASK_IN_FEATURES[0]].channels,
                num_levels=len(node.MASK_IN_FEATURES),
                channels=node.MASK_CHANNELS,
                out_channels=node.NUM_MASKS,
                norm=node.NORM,
            ),
            "layout": GridLayout.from_lists(node.FPN_INSTANCE_STRIDES, node.NUM_GRIDS, node.FPN_SCALE_RANGES),
            "in_features": node.INSTANCE_IN_FEATURES,
            "mask_in_features": node.MASK_IN_FEATURES,
            "num_classes": node.NUM_CLASSES,
            "sigma": node.SIGMA,
            "loss": GridLoss(
                focal_alpha=node.LOSS.FOCAL_ALPHA,
                focal_gamma=node.LOSS.FOCAL_GAMMA,
                category_weight=node.LOSS.FOCAL_WEIGHT,
                mask_weight=node.LOSS.DICE_WEIGHT,
                mask_divisor=node.LOSS.MASK_DIVISOR,
                sync_counts=node.LOSS.SYNC_COUNTS,
            ),
            "grid_inference": GridInference(
                score_thr=node.SCORE_THR,
                mask_thr=node.MASK_THR,
                nms_pre=node.NMS_PRE,
                max_cells=node.MAX_CELLS,
                nms_type=node.NMS_TYPE,
                nms_kernel=node.NMS_KERNEL,
                nms_sigma=node.NMS_SIGMA,
                nms_thr=node.NMS_THR,
                update_thr=node.UPDATE_THR,
                max_per_img=node.MAX_PER_IMG,
                mask_stride=MASK_STRIDE,
            ),
        }

    def losses(self, features: dict[str, Tensor], instances: Sequence[Instances]) -> dict[str, Tensor]:
        """Returns "loss_category" and "loss_mask"."""
        category_logits, kernels, mask_feature = self.predict(features)
        targets = self.assign_targets(instances, mask_feature.shape[-2:])
        with torch.autocast(mask_feature.device.type, enabled=False):
            mask_logits = self._positive_masks(kernels.float(), mask_feature.float(), targets)
            return {
                "loss_category": self.loss.category(flatten_cells(category_logits), targets),
                "loss_mask": self.loss.masks(mask_logits, targets),
            }

    def predict(self, features: dict[str, Tensor]) -> tuple[list[Tensor], Tensor, Tensor]:
        """Runs both heads.

        Returns:
            Category logits (B, C, S, S) per level, kernels (B, K, E), mask feature (B, E, h, w).
        """
        category_logits, kernels = self.head([features[f] for f in self.in_features])
        mask_feature = self.mask_head([features[f] for f in self.mask_in_features])
        return category_logits, flatten_cells(kernels), mask_feature

    def assign_targets(
        self, instances: Sequence[Instances], mask_feature_size: tuple[int, int]
    ) -> GridTargets:
        """Assigns one batch's ground truth to cells; see :func:`assign_grid_targets`."""
        return assign_grid_targets(
            self.layout,
            boxes=[x.gt_boxes.tensor for x in instances],
            classes=[x.gt_classes for x in instances],
            masks=[ground_truth_masks(x) for x in instances],
            feature_size=tuple(mask_feature_size),
            num_classes=self.num_classes,
            sigma=self.sigma,
            mask_stride=MASK_STRIDE,
        )

    def _positive_masks(self, kernels: Tensor, mask_feature: Tensor, targets: GridTargets) -> Tensor:
        """Computes the mask logits of every positive, (P, h, w)."""
        images = targets.positive_cell // self.layout.num_cells
        counts = torch.bincount(images, minlength=len(mask_feature)).tolist()
        chosen = kernels.flatten(0, 1)[targets.positive_cell]
        return torch.cat(
            [
                dynamic_conv(feature, kernel)
                for feature, kernel in zip(mask_feature, chosen.split(counts), strict=True)
            ]
        )

    def inference(
        self,
        features: dict[str, Tensor],
        image_sizes: Sequence[tuple[int, int]],
        output_sizes: Sequence[tuple[int, int]],
    ) -> list[Instances]:
        category_logits, kernels, mask_feature = self.predict(features)
        scores = flatten_cells([points_nms(x.sigmoid()) for x in category_logits])
        cell_strides = self.layout.cell_strides(scores.device)
        return [
            self.grid_inference(
                scores[i],
                lambda cells, i=i: dynamic_conv(mask_feature[i], kernels[i, cells]).sigmoid_(),
                tuple(mask_feature.shape[-2:]),
                cell_strides,
                image_size,
                output_size,
            )
            for i, (image_size, output_size) in enumerate(zip(image_sizes, output_sizes, strict=True))
        ]


def flatten_cells(levels: Sequence[Tensor]) -> Tensor:
    """Concatenates per-level maps (B, D, S, S) to (B, K, D), cells in the order of :class:`GridLayout`."""
    return torch.cat([level.flatten(2) for level in levels], dim=2).transpose(1, 2)
