"""The segmenter behind SOLO, Decoupled SOLO and SOLOv2: a grid per level, its targets, losses and inference.

B: images; K: cells per image; C: classes.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from detectron2.config import CfgNode
from detectron2.structures import Instances
from solo_d2.layers import flatten_levels
from solo_d2.modeling.meta_architecture import (
    DenseSegmenter,
    build_any_device_backbone,
    ground_truth_masks,
    has_mask,
)
from solo_d2.utils.errors import InputError
from solo_d2.utils.settings import arguments, build

from .cell_masks import LevelMasks, UnifiedMasks
from .config import GRID_WEIGHT_KEYS
from .head import GridHead
from .layout import GridLayout, GridTargets
from .losses import GridLoss
from .postprocess import GridPostprocessor, cell_scores
from .targets import assign_grid_targets


class GridSegmenter(DenseSegmenter):
    """Predicts a class and a mask for each grid cell. A subclass provides :meth:`predict`.

    Attributes:
        head_type: Class of the head.
        share_cells: Whether instances that claim one cell are separate positives; see
            :func:`assign_grid_targets`.
        mask_stride: Input pixels per pixel of the finest masks; None for half the finest level's stride.
        further_nodes: Full names of config nodes that the class and its head read after ``config_node``.
    """

    weight_keys = GRID_WEIGHT_KEYS
    head_type: ClassVar[type[GridHead]]
    share_cells: ClassVar[bool] = False
    mask_stride: ClassVar[int | None] = None
    further_nodes: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        *,
        head: GridHead,
        layout: GridLayout,
        instance_in_features: Sequence[str],
        num_classes: int,
        sigma: float,
        mask_target: str,
        loss: GridLoss,
        postprocess: GridPostprocessor,
        **kwargs,
    ):
        """
        Args:
            head: Maps features to category logits and mask features or kernels, per level.
            layout: Strides, grids and scale ranges of the levels.
            instance_in_features: Backbone outputs the head reads, finest first.
            num_classes: C.
            sigma: Center region's sides as a fraction of the box's.
            mask_target: "mask", or "contour" for the masks' outlines.
            loss: Category and mask losses.
            postprocess: Turns predictions into instances.
            **kwargs: Arguments of :class:`DenseSegmenter`.
        """
        super().__init__(**kwargs)
        self.mask_target = mask_target
        self.head = head
        self.layout = layout
        self.instance_in_features = list(instance_in_features)
        self.num_classes = num_classes
        self.sigma = sigma
        self.loss = loss
        self.postprocess = postprocess

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Builds the common parts of grid models.

        Raises:
            InputError: If MASK_TARGET or a part's setting is unknown.
        """
        name = f"MODEL.{cls.config_node}"
        nodes = (name, *cls.further_nodes)
        node = cfg.MODEL[cls.config_node]
        if node.MASK_TARGET not in ("mask", "contour"):
            raise InputError(f"{name}.MASK_TARGET must be 'mask' or 'contour', not '{node.MASK_TARGET}'.")
        backbone = build_any_device_backbone(cfg)
        return arguments(
            cls,
            cfg,
            *nodes,
            "MODEL",
            backbone=backbone,
            layout=build(GridLayout.from_lists, cfg, name),
            loss=build(GridLoss, cfg, f"{name}.LOSS"),
            postprocess=build(
                GridPostprocessor,
                cfg,
                name,
                mask_stride=cls.mask_stride or node.FPN_INSTANCE_STRIDES[0] // 2,
                with_masks=not cfg.TEST.BOX_ONLY,
            ),
            head=build(
                cls.head_type,
                cfg,
                *nodes,
                in_channels=backbone.output_shape()[node.INSTANCE_IN_FEATURES[0]].channels,
            ),
        )

    @property
    def read_features(self) -> set[str]:
        return set(self.instance_in_features)

    def predict(self, features: dict[str, Tensor]) -> tuple[list[Tensor], UnifiedMasks | LevelMasks]:
        """Returns category logits (B, C, S, S) per level, and the cells' masks."""
        raise NotImplementedError

    def losses(self, features: dict[str, Tensor], batched_inputs: list[dict]) -> dict[str, Tensor]:
        """Returns "loss_category" and the result of :meth:`mask_losses`."""
        instances = self.ground_truth(batched_inputs)
        category_logits, masks = self.predict(features)
        targets = self.assign_targets(instances, masks.size, masks.strides)
        with torch.autocast(targets.labels.device.type, enabled=False):
            return {
                "loss_category": self.loss.category(flatten_levels(category_logits), targets),
                **self.mask_losses(masks, targets, instances, batched_inputs),
            }

    def mask_losses(
        self,
        masks: UnifiedMasks | LevelMasks,
        targets: GridTargets,
        instances: Sequence[Instances],
        batched_inputs: list[dict],
    ) -> dict[str, Tensor]:
        """Returns "loss_mask".

        Args:
            masks: The cells' masks.
            targets: Of the same batch.
            instances: Ground truth, for subclasses.
            batched_inputs: As :meth:`forward` takes them, for subclasses.
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
            feature_size=mask_size,
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
        scores = cell_scores(category_logits)
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
