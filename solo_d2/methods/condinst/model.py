"""CondInst (Tian, Zhang, Chen, Shen): FCOS predicts a separate mask head for every instance.

B: images; K: locations per image; C: classes; S: mask slots per image in training; h, w: mask size.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Instances
from solo_d2.layers import map_size
from solo_d2.losses import category_focal_loss, dice_loss
from solo_d2.modeling.meta_architecture import (
    DenseSegmenter,
    build_any_device_backbone,
    ground_truth_masks,
    has_mask,
)
from solo_d2.structures import RunMasks
from solo_d2.utils.errors import InputError
from solo_d2.utils.settings import arguments, build, naming_keys

from .config import CONDINST_WEIGHT_KEYS
from .head import FCOSHead, PointPredictions
from .losses import PointLoss
from .mask_head import DynamicMaskHead, MaskBranch, SemanticBranch
from .points import PointGenerator, Points, PointTargets
from .postprocess import PointPostprocessor
from .targets import PositiveSampler, assign_point_targets, assign_semantic_targets, sample_masks

# Half of the published 1e-5, because dice_loss adds it to both sums.
_DICE_EPS = 5e-6


@META_ARCH_REGISTRY.register()
class CondInst(DenseSegmenter):
    """FCOS whose locations also predict the weights of a small mask head."""

    config_node = "FCOS"
    weight_keys = CONDINST_WEIGHT_KEYS

    @configurable
    def __init__(
        self,
        *,
        head: FCOSHead,
        mask_branch: nn.Module | None,
        mask_head: DynamicMaskHead,
        semantic_branch: nn.Module | None,
        point_generator: PointGenerator,
        in_features: Sequence[str],
        mask_in_features: Sequence[str],
        num_classes: int,
        pos_radius: float,
        sizes_of_interest: Sequence[float],
        loss: PointLoss,
        sampler: PositiveSampler,
        postprocess: PointPostprocessor,
        **kwargs,
    ):
        """
        Args:
            head: Features to :class:`PointPredictions`.
            mask_branch: Maps features to the mask heads' input; None: they see coordinates only.
            mask_head: Applies the predicted weights.
            semantic_branch: Maps the finest feature to class logits per pixel, in training; None: no such
                loss.
            point_generator: Strides and size ranges of the levels.
            in_features: Backbone outputs the head reads, finest first.
            mask_in_features: Backbone outputs the mask branch reads, finest first.
            num_classes: C.
            pos_radius: Half side of the center region in strides.
            sizes_of_interest: The unit of relative coordinates per level, in pixels.
            loss: The detector's losses.
            sampler: Selects the positives that get a mask loss.
            postprocess: Turns predictions into instances.
            **kwargs: Arguments of :class:`DenseSegmenter`.
        """
        super().__init__(**kwargs)
        self.head = head
        self.mask_branch = mask_branch
        self.mask_head = mask_head
        self.semantic_branch = semantic_branch
        self.point_generator = point_generator
        self.in_features = list(in_features)
        self.mask_in_features = list(mask_in_features)
        self.num_classes = num_classes
        self.pos_radius = pos_radius
        self.sizes_of_interest: Tensor
        self.register_buffer("sizes_of_interest", torch.tensor(sizes_of_interest, dtype=torch.float32), False)
        self.loss = loss
        self.sampler = sampler
        self.postprocess = postprocess
        self.to_channels_last()

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Builds the parts.

        Raises:
            InputError: If levels are missing, or box NMS is chosen without boxes.
        """
        node, fcos = cfg.MODEL.CONDINST, cfg.MODEL.FCOS
        if len(node.SIZES_OF_INTEREST) != len(fcos.FPN_STRIDES):
            raise InputError(
                "MODEL.CONDINST.SIZES_OF_INTEREST needs one entry per entry of MODEL.FCOS.FPN_STRIDES."
            )
        if node.NMS_TYPE == "box" and not fcos.BOX_ON:
            raise InputError(
                "MODEL.CONDINST.NMS_TYPE box needs boxes: set MODEL.FCOS.BOX_ON True or NMS_TYPE matrix."
            )
        backbone = build_any_device_backbone(cfg)
        shapes = backbone.output_shape()
        mask_head = mask_head_from_config(cfg, shapes)
        head = build(
            FCOSHead,
            cfg,
            "MODEL.FCOS",
            in_channels=shapes[fcos.IN_FEATURES[0]].channels,
            num_levels=len(fcos.IN_FEATURES),
            num_params=mask_head.num_params,
        )
        both = ("MODEL.CONDINST", "MODEL.FCOS")
        return arguments(
            cls,
            cfg,
            *both,
            "MODEL",
            backbone=backbone,
            head=head,
            **mask_branches_from_config(cfg, shapes),
            mask_head=mask_head,
            point_generator=build(PointGenerator.from_lists, cfg, "MODEL.FCOS"),
            mask_in_features=node.MASK_BRANCH.IN_FEATURES,
            loss=build(PointLoss, cfg, "MODEL.FCOS"),
            sampler=build(PositiveSampler, cfg, "MODEL.CONDINST"),
            postprocess=build(PointPostprocessor, cfg, *both, with_masks=not cfg.TEST.BOX_ONLY),
        )

    @property
    def read_features(self) -> set[str]:
        if self.mask_branch is not None:
            return {*self.in_features, *self.mask_in_features}
        return {*self.in_features, *(self.mask_in_features[:1] if self.semantic_branch is not None else ())}

    def losses(self, features: dict[str, Tensor], batched_inputs: list[dict]) -> dict[str, Tensor]:
        """Returns the detector's losses, "loss_mask" and, with a semantic branch, "loss_semantic"."""
        instances = self.ground_truth(batched_inputs)
        predictions = self.head([features[f] for f in self.in_features])
        mask_features = self.mask_features(features)
        points = self.point_generator.generate(predictions.sizes, mask_features.device)
        masks = [ground_truth_masks(x) for x in instances]
        learnable = has_mask(instances)
        targets = self.assign_targets(points, instances, masks)
        with torch.autocast(mask_features.device.type, enabled=False):
            losses = {
                "loss_category": self.loss.category(predictions.class_logits, targets),
                "loss_centerness": self.loss.centerness(predictions.centerness, targets),
                "loss_mask": self._mask_loss(predictions, mask_features, points, targets, masks, learnable),
            }
            if predictions.distances is not None:
                losses["loss_box"] = self.loss.boxes(predictions.distances, targets, points.strides)
        if self.semantic_branch is not None:
            if learnable is not None:
                raise InputError(
                    "the semantic branch needs all masks, but some annotations have none to learn from: set "
                    "MODEL.CONDINST.MASK_BRANCH.SEMANTIC_LOSS_ON False"
                )
            losses["loss_semantic"] = self._semantic_loss(features, instances, masks)
        return losses

    def assign_targets(
        self, points: Points, instances: Sequence[Instances], masks: Sequence[Tensor | RunMasks]
    ) -> PointTargets:
        """Assigns one batch's ground truth to locations; see :func:`assign_point_targets`."""
        return assign_point_targets(
            self.point_generator,
            points,
            boxes=[x.gt_boxes.tensor for x in instances],
            classes=[x.gt_classes for x in instances],
            masks=masks,
            num_classes=self.num_classes,
            pos_radius=self.pos_radius,
        )

    def mask_features(self, features: dict[str, Tensor]) -> Tensor:
        """Returns (B, E, h / upsampling, w / upsampling) of the bottom branch."""
        if self.mask_branch is None:
            return features[self.mask_in_features[0]][:, :0]
        return self.mask_branch([features[f] for f in self.mask_in_features])

    def predict_masks(
        self,
        predictions: PointPredictions,
        mask_features: Tensor,
        points: Points,
        index: Tensor,
        at_once: bool = False,
    ) -> Tensor:
        """Applies the mask heads of chosen locations.

        Args:
            predictions: Of B images.
            mask_features: Of the same images.
            points: The locations.
            index: (B, S) int64 in [0, K), the chosen locations.
            at_once: As for :class:`DynamicMaskHead`.

        Returns:
            (B, S, h, w) float32 logits.
        """
        return self.mask_head(
            mask_features.float(),
            self.head.control(predictions.box_features, index).float(),
            points.locations[index],
            self.sizes_of_interest[points.levels[index]],
            at_once,
        )

    def _mask_loss(
        self,
        predictions: PointPredictions,
        mask_features: Tensor,
        points: Points,
        targets: PointTargets,
        masks: Sequence[Tensor | RunMasks],
        learnable: Tensor | None,
    ) -> Tensor:
        """Computes the mean dice loss of sampled positives; without any, 0 that depends on all outputs."""
        scores = (
            predictions.class_logits.detach().amax(2).sigmoid() * predictions.centerness.detach().sigmoid()
        )
        index, filled = self.sampler(targets, scores)
        logits = self.predict_masks(predictions, mask_features, points, index)
        stride = self.mask_head.stride // self.mask_head.upsampling
        wanted = torch.cat([sample_masks(m, stride, map_size(logits)) for m in masks])
        owner = targets.owner.gather(1, index).clamp(min=0)
        if learnable is not None:
            filled = filled & learnable[owner]
        wanted = wanted[owner]
        dice = dice_loss(logits.sigmoid().flatten(0, 1), wanted.flatten(0, 1), eps=_DICE_EPS)
        return torch.where(filled.flatten(), dice, 0).sum() / filled.sum().clamp(min=1)

    def _semantic_loss(
        self, features: dict[str, Tensor], instances: Sequence[Instances], masks: Sequence[Tensor | RunMasks]
    ) -> Tensor:
        """Computes the semantic branch's focal loss: the sum over the number of foreground pixels."""
        assert self.semantic_branch is not None
        logits = self.semantic_branch(features[self.mask_in_features[0]])
        labels = assign_semantic_targets(
            [x.gt_classes for x in instances],
            masks,
            map_size(logits),
            stride=self.mask_head.stride,
            num_classes=self.num_classes,
        )
        with torch.autocast(logits.device.type, enabled=False):
            loss = category_focal_loss(
                logits.movedim(1, -1), labels, self.loss.loss_alpha, self.loss.loss_gamma
            )
        return loss / (labels < self.num_classes).sum().clamp(min=1)

    def inference(
        self,
        features: dict[str, Tensor],
        image_sizes: Sequence[tuple[int, int]],
        output_sizes: Sequence[tuple[int, int]],
    ) -> list[Instances]:
        predictions = self.head([features[f] for f in self.in_features])
        mask_features = self.mask_features(features)
        points = self.point_generator.generate(predictions.sizes, mask_features.device)
        sizes = zip(image_sizes, output_sizes, strict=True)
        return [
            self._infer_image(predictions.image(i), mask_features[i : i + 1], points, image, output)
            for i, (image, output) in enumerate(sizes)
        ]

    def _infer_image(
        self,
        predictions: PointPredictions,
        mask_features: Tensor,
        points: Points,
        image_size: tuple[int, int],
        output_size: tuple[int, int],
    ) -> Instances:
        """Turns the predictions of one image, B = 1, into instances."""
        distances = predictions.distances
        if distances is not None:
            distances = distances[0].float() * points.strides[:, None]
        with torch.autocast(mask_features.device.type, enabled=False):
            return self.postprocess(
                predictions.class_logits[0].float().sigmoid(),
                predictions.centerness[0].float().sigmoid(),
                distances,
                points,
                lambda index: self.predict_masks(predictions, mask_features, points, index[None])[
                    0
                ].sigmoid_(),
                image_size,
                output_size,
            )


def mask_head_from_config(cfg: CfgNode, shapes: dict[str, ShapeSpec]) -> DynamicMaskHead:
    """Builds the mask head.

    Raises:
        InputError: If MASK_OUT_STRIDE does not divide the bottom branch's stride.
    """
    node = cfg.MODEL.CONDINST
    stride = shapes[node.MASK_BRANCH.IN_FEATURES[0]].stride
    if stride % node.MASK_OUT_STRIDE:
        raise InputError(
            f"MODEL.CONDINST.MASK_OUT_STRIDE {node.MASK_OUT_STRIDE} must divide {stride}, the stride of "
            f"{node.MASK_BRANCH.IN_FEATURES[0]}."
        )
    with naming_keys({"in_channels": "MODEL.CONDINST.MASK_BRANCH.OUT_CHANNELS"}):
        return build(
            DynamicMaskHead,
            cfg,
            "MODEL.CONDINST.MASK_HEAD",
            in_channels=node.MASK_BRANCH.OUT_CHANNELS,
            stride=stride,
            upsampling=stride // node.MASK_OUT_STRIDE,
        )


def mask_branches_from_config(cfg: CfgNode, shapes: dict[str, ShapeSpec]) -> dict[str, nn.Module | None]:
    """Builds the bottom branch and the semantic branch, None where the config has none."""
    node, name = cfg.MODEL.CONDINST.MASK_BRANCH, "MODEL.CONDINST.MASK_BRANCH"
    in_channels = shapes[node.IN_FEATURES[0]].channels
    mask_branch = semantic_branch = None
    if node.OUT_CHANNELS:
        num_levels = len(node.IN_FEATURES)
        mask_branch = build(MaskBranch, cfg, name, in_channels=in_channels, num_levels=num_levels)
    if node.SEMANTIC_LOSS_ON:
        semantic_branch = build(SemanticBranch, cfg, name, "MODEL.FCOS", in_channels=in_channels)
    return {"mask_branch": mask_branch, "semantic_branch": semantic_branch}
