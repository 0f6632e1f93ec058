"""What SOLO, Decoupled SOLO and SOLOv2 share: a grid per level, its targets, losses and inference.

B: images; K: cells per image; C: classes.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from detectron2.config import CfgNode
from detectron2.structures import Instances
from solo_d2.modeling.backbones import build_any_device_backbone
from solo_d2.modeling.meta_architecture import DenseSegmenter, ground_truth_masks, has_mask
from solo_d2.utils.errors import InputError

from .cell_masks import LevelMasks, UnifiedMasks
from .config import GRID_WEIGHT_KEYS
from .layout import GridLayout, GridTargets
from .losses import GridLoss
from .postprocess import GridPostprocessor, points_nms
from .targets import assign_grid_targets


class GridSegmenter(DenseSegmenter):
    """A class and a mask for each grid cell. A subclass provides :meth:`predict`."""

    weight_keys = GRID_WEIGHT_KEYS
    # Whether instances that claim one cell are separate positives; see :func:`assign_grid_targets`.
    share_cells = False

    def __init__(
        self,
        *,
        head: nn.Module,
        layout: GridLayout,
        in_features: Sequence[str],
        num_classes: int,
        sigma: float,
        loss: GridLoss,
        postprocess: GridPostprocessor,
        mask_target: str = "mask",
        **kwargs,
    ):
        """
        Args:
            head: Features to per-level category logits and what the masks are made of.
            layout: Strides, grids and scale ranges of the levels.
            in_features: Backbone outputs the head reads, finest first.
            num_classes: C.
            sigma: Center region's sides as a fraction of the box's.
            loss: Category and mask losses.
            postprocess: Predictions to instances.
            mask_target: "mask", or "contour" for the masks' outlines.
            **kwargs: Of :class:`DenseSegmenter`.

        Raises:
            InputError: If ``mask_target`` is unknown.
        """
        super().__init__(**kwargs)
        if mask_target not in ("mask", "contour"):
            raise InputError(f"MASK_TARGET must be 'mask' or 'contour', not '{mask_target}'.")
        self.mask_target = mask_target
        self.head = head
        self.layout = layout
        self.in_features = list(in_features)
        self.num_classes = num_classes
        self.sigma = sigma
        self.loss = loss
        self.postprocess = postprocess

    @classmethod
    def grid_from_config(cls, cfg: CfgNode, mask_stride: int) -> dict[str, Any]:
        """Reads the keys of :mod:`solo_d2.methods.grid.config`: every argument but "head".

        Args:
            cfg: The config.
            mask_stride: Input pixels per pixel of the finest masks.
        """
        node = cfg.MODEL[cls.config_node]
        return {
            "backbone": build_any_device_backbone(cfg),
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "layout": GridLayout.from_lists(node.FPN_INSTANCE_STRIDES, node.NUM_GRIDS, node.FPN_SCALE_RANGES),
            "in_features": node.INSTANCE_IN_FEATURES,
            "num_classes": node.NUM_CLASSES,
            "sigma": node.SIGMA,
            "mask_target": node.MASK_TARGET,
            "loss": cls._loss_from_config(cfg),
            "postprocess": cls._inference_from_config(cfg, mask_stride),
        }

    @classmethod
    def _loss_from_config(cls, cfg: CfgNode) -> GridLoss:
        node = cfg.MODEL[cls.config_node].LOSS
        return GridLoss(
            focal_alpha=node.FOCAL_ALPHA,
            focal_gamma=node.FOCAL_GAMMA,
            category_weight=node.FOCAL_WEIGHT,
            mask_loss=node.MASK_LOSS,
            dice_weight=node.DICE_WEIGHT,
            bce_weight=node.BCE_WEIGHT,
            bce_positive_weight=node.BCE_POSITIVE_WEIGHT,
            mask_focal_weight=node.MASK_FOCAL_WEIGHT,
            mask_divisor=node.MASK_DIVISOR,
            sync_counts=node.SYNC_COUNTS,
        )

    @classmethod
    def _inference_from_config(cls, cfg: CfgNode, mask_stride: int) -> GridPostprocessor:
        node = cfg.MODEL[cls.config_node]
        return GridPostprocessor(
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
            with_masks=not cfg.TEST.BOX_ONLY,
            mask_stride=mask_stride,
        )

    @classmethod
    def head_arguments_from_config(cls, cfg: CfgNode, in_channels: int) -> dict[str, Any]:
        """Reads the arguments of :class:`GridHead` that all methods have keys for."""
        node = cfg.MODEL[cls.config_node]
        return {
            "in_channels": in_channels,
            "num_grids": node.NUM_GRIDS,
            "num_classes": node.NUM_CLASSES,
            "channels": node.INSTANCE_CHANNELS,
            "num_convs": node.NUM_INSTANCE_CONVS,
            "norm": node.NORM,
            "prior_prob": node.PRIOR_PROB,
            "alignment": node.CATEGORY_ALIGN,
            "num_dcn_convs": node.NUM_DCN_CONVS,
            "dcn_type": node.TYPE_DCN,
        }

    @property
    def read_features(self) -> set[str]:
        """Backbone outputs that the heads read."""
        return set(self.in_features)

    def predict(self, features: dict[str, Tensor]) -> tuple[list[Tensor], UnifiedMasks | LevelMasks]:
        """Runs the heads: category logits (B, C, S, S) per level, and the cells' masks."""
        raise NotImplementedError

    def losses(self, features: dict[str, Tensor], instances: Sequence[Instances]) -> dict[str, Tensor]:
        """Returns "loss_category" and those of :meth:`mask_losses`."""
        category_logits, masks = self.predict(features)
        targets = self.assign_targets(instances, masks.size, masks.strides)
        with torch.autocast(targets.labels.device.type, enabled=False):
            category_loss = self.loss.category(flatten_cells(category_logits), targets)
            # Levels that no head reads take part with a gradient of 0: distributed training waits for every
            # parameter's gradient.
            unread = [x.float().mean() for name, x in features.items() if name not in self.read_features]
            return {
                "loss_category": category_loss + 0 * sum(unread),
                **self.mask_losses(masks, targets, features, instances),
            }

    def mask_losses(
        self,
        masks: UnifiedMasks | LevelMasks,
        targets: GridTargets,
        features: dict[str, Tensor],
        instances: Sequence[Instances],
    ) -> dict[str, Tensor]:
        """Returns "loss_mask".

        Args:
            masks: The cells' masks.
            targets: Of the same batch.
            features: As :meth:`extract_features` gives them, for subclasses.
            instances: Ground truth, for subclasses.
        """
        return {"loss_mask": self.loss.masks(masks.positives(targets), targets)}

    def assign_targets(
        self, instances: Sequence[Instances], mask_size: tuple[int, int], mask_strides: Sequence[int]
    ) -> GridTargets:
        """Assigns one batch's ground truth to cells; see :func:`assign_grid_targets`."""
        return assign_grid_targets(
            self.layout,
            boxes=[x.gt_boxes.tensor for x in instances],
            classes=[x.gt_classes for x in instances],
            masks=[ground_truth_masks(x) for x in instances],
            feature_size=tuple(mask_size),
            num_classes=self.num_classes,
            sigma=self.sigma,
            mask_strides=sorted(set(mask_strides)),
            share_cells=self.share_cells,
            contours=self.mask_target == "contour",
            has_mask=has_mask(instances),
        )

    def inference(
        self,
        features: dict[str, Tensor],
        image_sizes: Sequence[tuple[int, int]],
        output_sizes: Sequence[tuple[int, int]],
    ) -> list[Instances]:
        category_logits, masks = self.predict(features)
        scores = flatten_cells([points_nms(x.sigmoid()) for x in category_logits])
        cell_strides = self.layout.cell_strides(scores.device)
        return [
            self.postprocess(
                scores[i],
                partial(masks.soft, i),
                masks.size,
                cell_strides,
                image_size,
                output_size,
                {name: values[i] for name, values in masks.cell_values.items()},
            )
            for i, (image_size, output_size) in enumerate(zip(image_sizes, output_sizes, strict=True))
        ]


def flatten_cells(levels: Sequence[Tensor]) -> Tensor:
    """Concatenates per-level maps (B, D, S, S) to (B, K, D), cells in the order of :class:`GridLayout`."""
    return torch.cat([level.flatten(2) for level in levels], dim=2).transpose(1, 2)
